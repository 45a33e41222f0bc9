"""`myowave replay`: play a log as if it were the board."""

from pathlib import Path
from typing import Annotated

import typer

from myowave.cli.output import console
from myowave.cli.played_board import run_until_stopped

ORDER = 115

HELP = """Play a log at a serial port, as if it were the board that was logged.

`log`, `monitor` and `check` work on the port at `--link`. It plays from the beginning when it is
started (`log` and `monitor` start it), at the times of the board's own clock, gaps included; raw
counts are sent when they are asked for and the log has them, markers as lines of text. With
`--speed inf` it plays as fast as it is read. Ctrl-C ends it.

Example: `myowave replay session.mwlog --link build/board --speed 2`
"""


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("replay", help=HELP)(replay_command)


def replay_command(
    log: Annotated[Path, typer.Argument(metavar="LOG", help="Log to play.")],
    *,
    link: Annotated[Path, typer.Option(metavar="PATH", help="Where the serial port shall be.")],
    speed: Annotated[
        float, typer.Option(metavar="X", help="How much faster than the board; 'inf' is allowed.")
    ] = 1.0,
    loop: Annotated[bool, typer.Option("--loop", help="Begin again at the end.")] = False,
) -> None:
    """Play until Ctrl-C."""
    from myowave.replay import ReplayedBoard
    from myowave.signals import stop_requested

    with stop_requested() as stop:
        board = ReplayedBoard(log, link, speed=speed, loop=loop)
        with board:
            damaged = board.survey.damaged
            console.print(
                f"{log}: {board.survey.samples} samples"
                + (f" ({damaged} damaged records left out)" if damaged else "")
                + f" play at {link}; Ctrl-C ends it",
                markup=False,
            )
            run_until_stopped(board, stop, "log")
    console.print("switched off")
