"""`myowave import`: recordings of other systems to 1 kHz recording files."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from myowave.cli.output import JsonFile, console, print_table, progress_bar, write_json
from myowave.cli.source_options import AllowMissingGyro, ImuOnly, ImuSensor, MuscleNames
from myowave.errors import ConfigError

if TYPE_CHECKING:
    from myowave.recording import Recording

ORDER = 20

HELP = """Bring recordings of any supported format to 1 kHz recording files.

Reads what `myowave export` writes (CSV, Parquet, EDF+, BDF+, MATLAB, BIDS), EDF, BDF and XDF files
of other systems whose labels and units say what they hold, BIDS datasets with motion and sEMG,
Trigno Discover CSV, OpenSignals text and NinaPro `.mat`; the format is found by content. One source
goes to the file named with `-o`; several, or a folder of them, go into the folder named with `-o`.
Sensors strapped on the other way round are found by comparing the sources with each other (and with
`--like`) and put right; `turn` tells which.

A source with gaps is refused, or with --split-gaps becomes several files, `NAME_part1` and so on.

Subject and day come from the header, the subject otherwise from the file name up to the first `_`.
A file that is there is replaced only where it is a recording, and never a source.

Example: `myowave import recordings -o build/recordings --muscle biceps`
"""


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("import", help=HELP)(import_command)


def import_command(
    sources: Annotated[
        list[Path], typer.Argument(metavar="SRC...", help="Source files or folders of them.")
    ],
    *,
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", metavar="REC", help="File for one source, folder for several."
        ),
    ],
    muscle: MuscleNames = None,
    emg_sensor: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Take these sEMG channels only, in order (repeat)."),
    ] = None,
    imu_sensor: ImuSensor = None,
    subject: Annotated[str | None, typer.Option(help="Who was recorded.")] = None,
    day: Annotated[str | None, typer.Option(metavar="YYYY-MM-DD", help="When.")] = None,
    date_order: Annotated[
        str, typer.Option(metavar="auto|dmy|mdy", help="How to read 05/02/2025 in a header.")
    ] = "auto",
    allow_missing_gyro: AllowMissingGyro = False,
    imu_only: ImuOnly = False,
    allow_short: Annotated[
        bool, typer.Option("--allow-short", help="Accept channels that end early.")
    ] = False,
    split_gaps: Annotated[
        bool,
        typer.Option(
            "--split-gaps", help="Make a recording of each part of 1 s or more between gaps."
        ),
    ] = False,
    acc_calibration: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LOW:HIGH", help="OpenSignals: counts at -1 g and +1 g (once, or once an axis)."
        ),
    ] = None,
    rate_hz: Annotated[
        float | None, typer.Option(metavar="HZ", help="NinaPro: rate, where it is not 2000.")
    ] = None,
    like: Annotated[
        list[Path] | None,
        typer.Option(metavar="REC", help="Recordings whose orientation is right (repeat)."),
    ] = None,
    keep_orientation: Annotated[
        bool, typer.Option("--keep-orientation", help="Do not put turned sensors right.")
    ] = False,
    json_file: JsonFile = None,
) -> None:
    """Read every source, put orientations right, write the recordings and list them."""
    from rich.table import Table

    from myowave.readers import find_sources, read, read_parts
    from myowave.recording import save

    options = _options(
        imu_sensor=imu_sensor,
        emg_sensors=tuple(emg_sensor) if emg_sensor else None,
        muscles=tuple(muscle) if muscle else None,
        subject=subject,
        day=day,
        date_order=date_order,
        rate_hz=rate_hz,
        imu_only=imu_only,
        allow_missing_gyro=allow_missing_gyro,
        allow_short=allow_short,
        acc_calibration=_calibration(acc_calibration or []),
    )
    paths = find_sources(sources)
    targets = _targets(paths, output, single=len(sources) == 1 and not sources[0].is_dir())
    _require_replaceable(targets, paths)
    parts_of: list[list[Recording]] = []
    with progress_bar() as progress:
        task = progress.add_task("reading", total=len(paths), note="")
        for path in paths:
            parts_of.append(read_parts(path, options) if split_gaps else [read(path, options)])
            progress.update(task, advance=1, note=path.name)
    if not keep_orientation:
        parts_of = _turned_alike(parts_of, like)
    recordings = [part for parts in parts_of for part in parts]
    sources_of = [path for path, parts in zip(paths, parts_of, strict=True) for _ in parts]
    targets = _part_targets(targets, parts_of)
    _require_replaceable(targets, paths)

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("file", "subject", "day", "s", "muscles", "turn"):
        table.add_column(title, justify="right" if title == "s" else "left", overflow="fold")
    rows: list[dict[str, Any]] = []
    for source, target, recording in zip(sources_of, targets, recordings, strict=True):
        save(recording, target)
        found = recording.provenance.get("orientation", {})
        turn = str(found.get("turn", "-"))
        uncertain = bool(found) and not found["certain"]
        rows.append(
            {
                "source": str(source),
                "file": str(target),
                "subject": recording.subject,
                "day": recording.day,
                "seconds": recording.duration_s,
                "samples": recording.n_samples,
                "muscles": list(recording.muscles),
                "source_rates_hz": recording.source_rates_hz,
                "turn": None if turn == "-" else turn,
                "turn_certain": None if not found else not uncertain,
                "part": recording.provenance.get("part"),
            }
        )
        table.add_row(
            target.name,
            recording.subject,
            recording.day or "-",
            f"{recording.duration_s:.1f}",
            ", ".join(recording.muscles) or "-",
            f"{turn}, not certain" if uncertain else turn,
        )
    print_table(table)
    total_s = sum(recording.duration_s for recording in recordings)
    where = output if output.is_dir() or len(rows) == 1 else output.parent
    console.print(f"{len(rows)} written, {total_s:.0f} s in all: {where}", markup=False)
    for warning in _warnings(recordings):
        console.print(f"warning: {warning}", markup=False, soft_wrap=True)
    if json_file is not None:
        write_json(json_file, {"recordings": rows})


def _turned_alike(
    parts_of: list[list["Recording"]], like: list[Path] | None
) -> list[list["Recording"]]:
    """Put sensors strapped on the other way round right; the parts of one source are worn alike."""
    from myowave import orientation
    from myowave.readers import find_sources
    from myowave.recording import load

    reference = None
    if like:
        reference = orientation.fit_reference([load(path) for path in find_sources(like)])
    if reference is None and len(parts_of) < 2:
        return parts_of
    longest = [max(parts, key=lambda part: part.n_samples) for parts in parts_of]
    return [
        [orientation.apply(part, turned) for part in parts]
        for parts, turned in zip(parts_of, orientation.estimate(longest, reference), strict=True)
    ]


def _options(**values: Any) -> Any:
    from datetime import date

    from myowave.readers import ReadOptions

    if values["date_order"] not in ("auto", "dmy", "mdy"):
        raise ConfigError(f"--date-order {values['date_order']}: expected auto, dmy or mdy")
    if values["day"] is not None:
        try:
            date.fromisoformat(values["day"])
        except ValueError:
            raise ConfigError(
                f"--day {values['day']}: expected a date such as 2025-01-29"
            ) from None
    if values["rate_hz"] is not None and not 10 <= values["rate_hz"] <= 100_000:
        raise ConfigError(f"--rate-hz {values['rate_hz']:g}: expected 10 to 100000")
    return ReadOptions(**values)


def _calibration(texts: list[str]) -> tuple[tuple[float, float], ...] | None:
    pairs = []
    for text in texts:
        low, _, high = text.partition(":")
        try:
            pairs.append((float(low), float(high)))
        except ValueError:
            raise ConfigError(
                f"--acc-calibration '{text}': expected LOW:HIGH such as 28000:38000"
            ) from None
    return tuple(pairs) or None


def _require_replaceable(targets: list[Path], sources: list[Path]) -> None:
    from myowave.recording import require_replaceable

    for target in targets:
        if target.exists() and any(target.samefile(source) for source in sources):
            raise ConfigError(f"{target}: is a source, name another file or folder with -o")
        require_replaceable(target)


def _warnings(recordings: list["Recording"]) -> list[str]:
    """Return what the sources did not say, what hangs on it and which option says it."""
    from myowave.readers.assembly import UNKNOWN_SUBJECT

    warnings = []
    undated = [recording for recording in recordings if not recording.day]
    if undated:
        texts = {one.provenance.get("source", {}).get("unread_date") for one in undated} - {None}
        why = f" (no date: {', '.join(repr(text) for text in sorted(texts)[:3])})" if texts else ""
        warnings.append(
            f"no day known for {_names(undated)}{why}; splits and normalization go by day, name it "
            "with --day YYYY-MM-DD"
        )
    places = [recording.provenance.get("part", {}) for recording in recordings]
    left_out = sum(place["too_short"] for place in places if place.get("number") == 1)
    if left_out:
        warnings.append(f"too short between gaps, under 1 s, and left out: {left_out}")
    unnamed = [recording for recording in recordings if recording.subject == UNKNOWN_SUBJECT]
    if unnamed:
        warnings.append(
            f"no subject known for {_names(unnamed)}; splits and normalization go by subject, name "
            "it with --subject"
        )
    return warnings


def _names(recordings: list["Recording"]) -> str:
    more = f" and {len(recordings) - 3} more" if len(recordings) > 3 else ""
    return ", ".join(recording.name for recording in recordings[:3]) + more


def _part_targets(targets: list[Path], parts_of: list[list["Recording"]]) -> list[Path]:
    """Return a file a recording: those of sources in parts are numbered."""
    found = []
    for target, parts in zip(targets, parts_of, strict=True):
        if len(parts) == 1:
            found.append(target)
        else:
            count = range(1, len(parts) + 1)
            found += [target.with_stem(f"{target.stem}_part{number}") for number in count]
    _refuse_twice(found)
    return found


def _targets(paths: list[Path], output: Path, *, single: bool) -> list[Path]:
    from myowave.recording import SUFFIX

    if single and not output.is_dir():
        return [output]
    if output.is_file():
        raise ConfigError(f"{output}: is a file, expected a folder for {len(paths)} recordings")
    targets = [output / f"{path.stem}{SUFFIX}" for path in paths]
    _refuse_twice(targets)
    return targets


def _refuse_twice(targets: list[Path]) -> None:
    if len(set(targets)) != len(targets):
        twice = next(target for target in targets if targets.count(target) > 1)
        raise ConfigError(f"{twice}: two sources would go to this file, rename one of them")
