"""Options that several commands take because they read the same source files."""

from typing import Annotated

import typer

MuscleNames = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="Name of each sEMG channel of a source, in order (repeat)."),
]
ImuSensor = Annotated[str | None, typer.Option(metavar="NAME", help="Sensor whose IMU to take.")]
AllowMissingGyro = Annotated[
    bool, typer.Option("--allow-missing-gyro", help="Accept acceleration only.")
]
ImuOnly = Annotated[bool, typer.Option("--imu-only", help="Accept sources without sEMG.")]
