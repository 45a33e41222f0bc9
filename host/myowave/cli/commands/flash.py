"""`myowave flash`: build firmware, put it on a board, see that it runs."""

from pathlib import Path
from typing import Annotated

import typer

from myowave.cli.output import console

ORDER = 120

HELP = """Build the firmware with a model, put it on a board, and wait until the board says so.

A model that does not fit the board, as `myowave fit` judges it, is refused before anything is
flashed, with exit code 1; `--force` goes on. An emulated board is booted once and answers with its
identity; nothing stays behind but the image, which `myowave virtual` then runs at once. The SHA-256
in the identity frame must be the model's.

Example: `myowave flash cortex_m4 --model models/sim_biceps`
"""


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("flash", help=HELP)(flash_command)


def flash_command(
    board: Annotated[str, typer.Argument(metavar="BOARD", help="Board, such as cortex_m4.")],
    *,
    model: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Model. [default: $MYOWAVE_MODEL or the demo's]"),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Also a model that does not fit.")] = False,
) -> None:
    """Build, flash and verify."""
    from myowave.errors import ConfigError
    from myowave.firmware import board_by_name, build_firmware, default_model
    from myowave.flashing import flash_emulated, verdict_for

    target = board_by_name(board)
    model = model or default_model()
    with console.status(f"does the model fit {target.title}?"):
        verdict = verdict_for(target, model)
    if verdict.refuses and not force:
        console.print(f"{model} does not fit {target.name}, nothing was flashed: {verdict.reason}")
        console.print("--force flashes it all the same")
        raise typer.Exit(1)
    if verdict.reason:
        console.print(f"{target.name}: {verdict.reason}")
    if not target.is_virtual:
        raise ConfigError(f"board '{board}' cannot be flashed by this version, only built: pio run")
    with console.status(f"building for {target.title}"):
        image = build_firmware(target, model)
    console.print(f"image: {image}")
    with console.status(f"booting {target.title}"):
        identity = flash_emulated(target, model)
    console.print(
        f"{identity.board} runs firmware {identity.firmware} with model "
        f"{identity.model_sha256[:12]} ({', '.join(identity.muscles)}) and IMU {identity.imu}"
    )
