"""`myowave calibrate`: find what a board has to put right as it is worn."""

from pathlib import Path
from typing import Annotated

import typer

from myowave.cli.output import console

ORDER = 95

HELP = """Measure a board's gyroscope bias at rest, and how its sensor sits.

Lay the board down: the bias is measured for a second, and refused when it moves. How the sensor
sits against those of the recordings a model was trained on is named by `--turn`, or found with
`--model` from `--seconds` of movement such as that model is for. `log` and `monitor` send the file
to the board before they start it.

Example: `myowave calibrate /dev/ttyACM0 -o left.json --turn 180z`
"""


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("calibrate", help=HELP)(calibrate_command)


def calibrate_command(
    port: Annotated[str, typer.Argument(metavar="PORT", help="Serial port, path or URL.")],
    *,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE", help="Calibration, as JSON.")
    ],
    turn: Annotated[
        str, typer.Option(metavar="TURN", help="none, 180x, 180y or 180z: how the sensor sits.")
    ] = "none",
    model: Annotated[
        Path | None,
        typer.Option(metavar="MODEL_DIR", help="Find the turn by movement, against this model."),
    ] = None,
    seconds: Annotated[
        float, typer.Option(metavar="N", min=1.0, help="How long to move, with --model.")
    ] = 30.0,
) -> None:
    """Measure, write the file, say what it holds."""
    from dataclasses import replace

    from myowave.calibration import Calibration, find_turn, write_calibration
    from myowave.link import Device
    from myowave.model_card import load_card

    card = None if model is None else load_card(model)
    with Device.open(port) as device:
        imu = device.identify().imu
        with console.status("measuring the gyroscope's bias: leave the board at rest"):
            bias = device.measure_gyro_bias()
        calibration = Calibration(imu, turn, bias.counts)
        if card is not None:
            with console.status(f"move as the model is for, {seconds:g} s"):
                counts = device.record_counts(seconds)
            calibration = replace(calibration, turn=find_turn(counts, calibration, card))
    write_calibration(output, calibration)
    console.print(f"{calibration}")
    console.print(f"calibration: {output}")
