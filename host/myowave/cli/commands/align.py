"""`myowave align`: where a recording of another system lies on a log's clock."""

from pathlib import Path
from typing import Annotated

import typer

from myowave.cli.output import JsonFile, console, write_json
from myowave.cli.source_options import AllowMissingGyro, ImuOnly, ImuSensor, MuscleNames
from myowave.errors import ConfigError, RecordingError

ORDER = 105

HELP = """Find the offset between a log and an sEMG recording made on another computer.

Compares the movement both IMUs felt, whichever way the sensors sit, and the taps both felt; where
one of them holds no IMU samples, the predicted envelope with the recorded one. An offset that is
not beyond doubt is refused: unrelated recordings, curls that are all alike, too little in common.
To be safe tap both sensors together three times, unevenly, at the begin and at the end.

`offset` is the log's time, from its first sample, at which the recording begins; `drift` tells how
much faster the board's clock runs. With `-o` the board's own IMU and the recording's sEMG are
written as one recording on the board's clock, ready for `myowave train`.

Example: `myowave align session.mwlog trigno.csv -o build/recordings/session.parquet`
"""


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("align", help=HELP)(align_command)


def align_command(
    log_file: Annotated[Path, typer.Argument(metavar="LOG", help="File of 'myowave log'.")],
    recording_file: Annotated[
        Path, typer.Argument(metavar="RECORDING", help="Recording or source of any format.")
    ],
    *,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="REC", help="Write the log's IMU with the recording's sEMG."
        ),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(metavar="movement|taps|envelope", help="Use this way only."),
    ] = None,
    run: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="The Nth run of the log (start of the board); the longest if not given.",
        ),
    ] = None,
    muscle: MuscleNames = None,
    imu_sensor: ImuSensor = None,
    allow_missing_gyro: AllowMissingGyro = False,
    imu_only: ImuOnly = False,
    json_file: JsonFile = None,
) -> None:
    """Print the offset and how sure it is; write the recording."""
    from myowave.align import METHODS, aligned_recording, find_alignment, log_track
    from myowave.log import read_log
    from myowave.readers import ReadOptions, read
    from myowave.recording import require_replaceable, save

    chosen = next((method for method in METHODS if method == by), None)
    if by is not None and chosen is None:
        raise ConfigError(f"--by {by}: expected {', '.join(METHODS)}")
    if output is not None:
        require_replaceable(output)
        if output.exists() and recording_file.exists() and output.samefile(recording_file):
            raise ConfigError(f"{output}: is the source, name another file with -o")
    options = ReadOptions(
        imu_sensor=imu_sensor,
        muscles=tuple(muscle) if muscle else None,
        allow_missing_gyro=allow_missing_gyro,
        imu_only=imu_only,
    )
    log = read_log(log_file)
    recording = read(recording_file, options)
    try:
        track = log_track(log, run)
        found = find_alignment(track, recording, chosen)
    except RecordingError as error:
        raise RecordingError(f"{log_file} and {recording_file}: {error}") from None

    console.print(
        f"offset {found.offset_s:.4f} s, drift {found.drift_ppm:+.1f} ppm "
        f"(+-{found.drift_uncertainty_ppm:.1f}), known to {found.uncertainty_ms:.1f} ms over "
        f"{found.overlap_s:.1f} s in common",
        markup=False,
        soft_wrap=True,
    )
    evidence = found.evidence
    if found.method == "taps":
        text = (
            f"{evidence['matched']} taps coincide in {len(evidence['groups'])} groups, at any "
            f"other offset {evidence['second']}"
        )
    else:
        text = (
            f"correlation {evidence['correlation']:.2f}, {evidence['over_noise']:.0f} times the "
            f"noise and {evidence['over_second']:.1f} times the next best; "
            f"{evidence['agreeing']} of {evidence['pieces']} pieces agree"
        )
    also = f"; confirmed by {', '.join(found.confirmed_by)}" if found.confirmed_by else ""
    console.print(f"by {found.method}: {text}{also}", markup=False, soft_wrap=True)
    if found.runs > 1:
        console.print(f"run {found.run} of the log, which holds {found.runs} (see --run)")
    figures = found.to_json()
    if output is not None:
        aligned = aligned_recording(track, recording, found, log_file)
        save(aligned, output)
        console.print(f"{aligned.duration_s:.1f} s written: {output}", markup=False)
        figures["output"] = {"file": str(output), "samples": aligned.n_samples}
    if json_file is not None:
        write_json(json_file, figures)
