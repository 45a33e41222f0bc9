"""Options of the commands that start a board."""

from pathlib import Path
from typing import Annotated

import typer

CalibrationFile = Annotated[
    Path | None,
    typer.Option("--calibration", metavar="FILE", help="From `myowave calibrate`."),
]
