"""Recordings in, whatever made them: the format is found by content, not by name."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from myowave.errors import RecordingError
from myowave.formats import bids, edf, matlab, parquet, xdf
from myowave.formats.table import Table
from myowave.readers import ninapro, opensignals, own_csv, trigno
from myowave.readers.assembly import assemble, assemble_parts
from myowave.readers.exported import source_of
from myowave.readers.source import ReadOptions, Source
from myowave.readers.table import read_head
from myowave.recording import Recording, is_recording_file, load

__all__ = ["ReadOptions", "find_sources", "read", "read_parts", "write_csv"]

_TEXT_FORMATS: tuple[
    tuple[Callable[[list[str]], bool], Callable[[Path, list[str], ReadOptions], Source]], ...
] = (
    (trigno.matches, trigno.read_source),
    (own_csv.matches, own_csv.read_source),
    (opensignals.matches, opensignals.read_source),
)


def read(path: Path, options: ReadOptions | None = None, **changes: Any) -> Recording:
    """Read any supported recording as one 1 kHz recording.

    Parameters
    ----------
    path : Path
        A Trigno Discover CSV, a MyoWave CSV, an OpenSignals text file, a NinaPro `.mat`, an EDF,
        BDF or XDF file, the `*_motion.tsv` of a BIDS dataset (whose sEMG is taken along), whatever
        `myowave export` writes, or a recording file of this program (to which the options do not
        apply).
    options : ReadOptions, optional
        What the file cannot say.
    **changes
        Single fields of `ReadOptions`, in place of `options`.

    Raises
    ------
    RecordingError
        If the file is none of these or is not usable: a missing channel, an unknown unit, a cell
        that is no number, a gap, a constant channel, lengths that contradict the rates. The
        message names the file and the place in it.
    """
    options = options or ReadOptions(**changes)
    if is_recording_file(path) and not parquet.matches(path):
        return load(path)
    return assemble(_read_source(path, options), options)


def read_parts(path: Path, options: ReadOptions | None = None, **changes: Any) -> list[Recording]:
    """Read any supported recording as one 1 kHz recording a part between its gaps.

    As `read`, but a gap ends a part instead of being refused; parts under 1 s are left out, and
    RecordingError is raised where no other is there.
    """
    options = options or ReadOptions(**changes)
    if is_recording_file(path) and not parquet.matches(path):
        return [load(path)]
    return assemble_parts(_read_source(path, options), options)


def write_csv(recording: Recording, path: Path) -> None:
    """Write a recording as MyoWave CSV; raises as `own_csv.write_csv`."""
    from myowave.formats.sources import table_of_recording

    own_csv.write_csv(table_of_recording(recording), path)


def find_sources(paths: Iterable[Path]) -> list[Path]:
    """Return the files among `paths`, and those of folders that hold a supported format.

    Of a folder that is a BIDS dataset, or is inside one, these are the `*_motion.tsv` of all runs.

    Raises
    ------
    RecordingError
        If a path does not exist or a folder holds no recording.
    """
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            if not path.exists():
                raise RecordingError(f"{path}: no such file or folder")
            found.append(path)
            continue
        if runs := bids.find_runs(path):
            found += runs
            continue
        inside = sorted(file for file in path.iterdir() if file.is_file() and _is_supported(file))
        if not inside:
            raise RecordingError(f"{path}: folder without recordings")
        found += inside
    return found


def _is_supported(path: Path) -> bool:
    try:
        if is_recording_file(path):
            return True
        with path.open("rb") as file:
            head = file.read(256)
        if any(matches(head) for matches in (ninapro.matches, edf.matches, xdf.matches)):
            return True
        lines = read_head(path)
    except (RecordingError, OSError):
        return False
    return any(matches(lines) for matches, _ in _TEXT_FORMATS)


def _read_source(path: Path, options: ReadOptions) -> Source:
    try:
        with path.open("rb") as file:
            head = file.read(256)
    except OSError as error:
        raise RecordingError(f"{path}: cannot be read ({error.strerror or error})") from None
    exported = _read_table(path, head, options)
    if exported is not None:
        table, reader = exported
        return source_of(table, path, reader, options)
    if ninapro.matches(head):
        return ninapro.read_source(path, head, options)
    lines = read_head(path)
    for matches, read_source in _TEXT_FORMATS:
        if matches(lines):
            return read_source(path, lines, options)
    if any(line.startswith(("X[s]", '"X[s]"', "X [s]")) for line in lines[:20]):
        raise RecordingError(
            f"{path}: EMGworks CSV, whose columns do not state their units; write it as MyoWave "
            "CSV with units (python -m pydoc myowave.readers.own_csv)"
        )
    raise RecordingError(
        f"{path}: unknown format (first row '{lines[0][:60]}'), expected a Trigno Discover CSV, a "
        "MyoWave CSV, an OpenSignals text file, a NinaPro .mat, EDF, BDF, XDF or a BIDS dataset"
    )


def _read_table(path: Path, head: bytes, options: ReadOptions) -> tuple[Table, str] | None:
    """Read a format that is no text file, with the name of its reader; None where it is another."""
    if edf.matches(head):
        return edf.read(path, allow_short=options.allow_short), edf.NAME
    if xdf.matches(head):
        return xdf.read(path), xdf.NAME
    if bids.matches(path):
        return bids.read(path, allow_short=options.allow_short), bids.NAME
    if head.startswith(b"PAR1"):
        return parquet.read(path), parquet.NAME
    if ninapro.matches(head) and matlab.matches(path):
        return matlab.read(path), matlab.NAME
    return None
