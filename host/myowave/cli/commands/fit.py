"""`myowave fit`: does a model fit the boards there are."""

from pathlib import Path
from typing import Annotated

import typer

from myowave.cli.output import JsonFile, console, write_json

ORDER = 85

HELP = """Say for each known board whether a model fits: flash, RAM, and the time there is a sample.

Bytes and instructions are measured on the firmware built for the board's core; times are estimates
from the executed instructions, and the verdict stands on their pessimistic end. With `--board` the
figures are taken apart and the exit code is 1 when the model does not fit.

Example: `myowave fit models/sim_biceps --board nrf52840_dk`
"""


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("fit", help=HELP)(fit_command)


def fit_command(
    model: Annotated[Path, typer.Argument(metavar="MODEL_DIR", help="Model directory.")],
    *,
    board: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only this board. [default: all]")
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Measure, judge, print."""
    from myowave.boards import board_spec
    from myowave.cli.verdicts import print_details, print_method, print_verdicts
    from myowave.errors import ConfigError
    from myowave.fit import fit_model

    chosen = None if board is None else [board_spec(board)]
    with console.status("measuring") as status:
        fit = fit_model(model, chosen, progress=status.update)
    print_verdicts(fit)
    if board is not None:
        print_details(fit)
    print_method(fit)
    if json_file is not None:
        write_json(json_file, fit.to_json())
    if board is None:
        return
    verdict = fit.verdicts[0]
    if verdict.fits is None:
        raise ConfigError(f"{verdict.board.name}: {'; '.join(verdict.reasons)}")
    if not verdict.fits:
        raise typer.Exit(1)
