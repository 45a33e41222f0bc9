"""`myowave virtual`: a virtual wearable, fed from a recording."""

from pathlib import Path
from typing import Annotated

import typer

from myowave.cli.output import console
from myowave.cli.played_board import run_until_stopped

ORDER = 90

HELP = """Run a virtual wearable: an emulated board whose IMU plays a recording.

The firmware is built with the model and runs in real time; its serial port is at the path given by
`--link`, for `log`, `monitor` and `check`. The recording plays from its first sample when the board
is started (`log` and `monitor` start it) and the board stops at its end. Ctrl-C switches it off.

Example: `myowave virtual build/sim/sim01_2000-01-01_1.parquet --link build/board`
"""


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("virtual", help=HELP)(virtual_command)


def virtual_command(
    recording: Annotated[Path, typer.Argument(metavar="REC", help="Recording to play.")],
    *,
    board: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Emulated board; 'simulated' has the IMU's registers and drivers as well.",
        ),
    ] = "cortex_m4",
    link: Annotated[Path, typer.Option(metavar="PATH", help="Where its serial port shall be.")],
    model: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Model. [default: $MYOWAVE_MODEL or the demo's]"),
    ] = None,
    loop: Annotated[bool, typer.Option("--loop", help="Begin again at the end.")] = False,
) -> None:
    """Run the board until Ctrl-C."""
    from myowave.firmware import default_model
    from myowave.signals import stop_requested
    from myowave.virtual import virtual_board

    with stop_requested() as stop:
        model = model or default_model()
        wearable = virtual_board(recording, model, board, link, loop=loop)
        with wearable:
            console.print(f"{board} with model {model} runs at {link}; Ctrl-C switches it off")
            run_until_stopped(wearable, stop, "recording")
    console.print("switched off")
