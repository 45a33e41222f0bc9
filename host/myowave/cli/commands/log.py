"""`myowave log`: record what a board sends."""

from pathlib import Path
from typing import Annotated

import typer

from myowave.cli.board_options import CalibrationFile, LslFlag, ModelDirs
from myowave.cli.output import JsonFile, console, write_json

ORDER = 100

HELP = """Record what a board sends into an append-only file.

The file survives everything: a killed logger costs at most the last second. Lost frames are counted
from their sequence numbers. When the board is unplugged the log waits for it and goes on; the gap
is marked. With `--calibration` the board puts its counts right as `myowave calibrate` has found;
the log holds the counts as read, and the calibration. In a terminal, a line typed is a marker of
that moment. Ends after `--seconds`, on Ctrl-C, or when the board has no more to send.
`myowave.log.read_log` reads the file.

Example: `myowave log /dev/ttyACM0 -o session.mwlog --seconds 60 --raw`
"""


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("log", help=HELP)(log_command)


def log_command(
    port: Annotated[str, typer.Argument(metavar="PORT", help="Serial port, path or URL.")],
    *,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="Log file.")],
    seconds: Annotated[
        float | None, typer.Option(metavar="N", min=0.0, help="End after N seconds.")
    ] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Also record raw IMU counts.")] = False,
    calibration: CalibrationFile = None,
    model: ModelDirs = None,
    lsl: LslFlag = False,
    json_file: JsonFile = None,
) -> None:
    """Log until the end and print what was received."""
    from dataclasses import asdict

    from rich.markup import escape

    from myowave.calibration import load_calibration
    from myowave.cli.typed_lines import each_typed_line
    from myowave.live.logger import Logger, LogProgress
    from myowave.signals import stop_requested

    listeners = []
    if lsl:
        from myowave.live.lsl import LslOutlets

        listeners.append(LslOutlets(port, model or ()))
    logger = Logger(
        port,
        output,
        raw=raw or lsl,
        seconds=seconds,
        calibration=None if calibration is None else load_calibration(calibration),
        model_dirs=model or (),
        listeners=listeners,
    )

    def mark(line: str) -> None:
        label = line or "marker"
        marked = logger.marker(label)
        console.print(f"{'marked' if marked else 'not yet logging'}: {label}", markup=False)

    with (
        stop_requested() as stop,
        each_typed_line(mark),
        console.status(f"opening {port}") as status,
    ):
        shown = -1

        def show(progress: LogProgress) -> None:
            # Once a second: a terminal costs more than the log itself.
            nonlocal shown
            if int(progress.seconds) != shown:
                shown = int(progress.seconds)
                status.update(
                    f"{shown} s, {progress.samples} samples, {progress.lost_frames} frames lost"
                    + (f", {escape(progress.note)}" if progress.note else "")
                )

        result = logger.run(stop, show)
    console.print(
        f"{result.samples} samples in {result.seconds:.1f} s, {result.lost_frames} frames lost"
        + (f"; {result.note}" if result.note else ""),
        markup=False,
    )
    if result.crc_errors or result.malformed:
        console.print(
            f"damaged on the line: {result.crc_errors} frames with a wrong checksum, "
            f"{result.malformed} runs of bytes that are no frame"
        )
    if result.statistics is not None:
        counters = result.statistics
        console.print(
            f"board: {counters.processed} processed, {counters.missed} missed, "
            f"{counters.dropped} dropped, {counters.tx_dropped_batches} batches not sent, "
            f"CPU load {counters.cpu_load_permille / 10:.1f} %"
        )
        if timing := counters.timing():
            console.print(timing)
        if faults := counters.faults():
            console.print("faults: " + ", ".join(f"{n} {name}" for name, n in faults.items()))
    if (clock := logger.clock) is not None:
        console.print(f"clock: {clock}")
    if (identity := logger.identity) is not None:
        if identity.failed_tests:
            console.print(f"self-test failed: {', '.join(identity.failed_tests)}")
        if logger.card is None:
            console.print(
                f"model card: none found for model {identity.model_sha256[:12]}, so it is not in "
                "the log; name its directory with --model"
            )
    console.print(f"log: {output}")
    if json_file is not None:
        write_json(
            json_file,
            {
                "samples": result.samples,
                "seconds": result.seconds,
                "lost_frames": result.lost_frames,
                "crc_errors": result.crc_errors,
                "malformed": result.malformed,
                "statistics": asdict(result.statistics) if result.statistics else None,
                "clock": clock.to_json() if clock else None,
            },
        )
