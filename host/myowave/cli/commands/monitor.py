"""`myowave monitor`: watch a board live."""

from typing import Annotated

import typer

from myowave.cli.board_options import CalibrationFile
from myowave.cli.output import console

ORDER = 110

HELP = """Watch a board live: one bar a muscle, rate, losses, the board's counters.

Starts the board if it is not sampling, and then stops it at the end (Ctrl-C, or `--seconds`). The
bar is the highest predicted envelope of the last tenth of a second.

Example: `myowave monitor /dev/ttyACM0`
"""


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("monitor", help=HELP)(monitor_command)


def monitor_command(
    port: Annotated[str, typer.Argument(metavar="PORT", help="Serial port, path or URL.")],
    *,
    seconds: Annotated[
        float | None, typer.Option(metavar="N", min=0.0, help="End after N seconds.")
    ] = None,
    calibration: CalibrationFile = None,
) -> None:
    """Show the live view until Ctrl-C."""
    import time

    from rich.live import Live

    from myowave.calibration import load_calibration
    from myowave.link import Device
    from myowave.monitor import LiveView
    from myowave.signals import stop_requested

    wanted = None if calibration is None else load_calibration(calibration)
    with stop_requested() as stop, Device.open(port) as device:
        identity = device.identify() if wanted is None else device.set_calibration(wanted)
        device.start()
        view = LiveView(identity)
        began = time.monotonic()
        with Live(view.render(), console=console, auto_refresh=False) as live:
            while not stop.is_set():
                if seconds is not None and time.monotonic() - began >= seconds:
                    break
                for frame in device.frames():
                    view.take(frame)
                view.lost_frames = device.decoder.lost
                live.update(view.render(), refresh=True)
                stop.wait(0.1)
        if not console.is_terminal:
            console.line()  # Live leaves its last line open there
        if not identity.running:
            device.stop()
