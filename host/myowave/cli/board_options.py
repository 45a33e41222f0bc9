"""Options of the commands that start a board."""

from pathlib import Path
from typing import Annotated

import typer

CalibrationFile = Annotated[
    Path | None,
    typer.Option("--calibration", metavar="FILE", help="From `myowave calibrate`."),
]

ModelDirs = Annotated[
    list[Path] | None,
    typer.Option(
        "--model",
        metavar="DIR",
        help="Model directory of the board's model, for its card; repeatable.",
    ),
]

LslFlag = Annotated[
    bool,
    typer.Option("--lsl", help="Open LSL outlets: envelope, raw IMU (as by --raw), markers."),
]
