"""Recordings in, whatever made them: the format is found by content, not by name."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from myowave.errors import RecordingError
from myowave.readers import ninapro, opensignals, own_csv, trigno
from myowave.readers.assembly import assemble
from myowave.readers.own_csv import write_csv
from myowave.readers.source import ReadOptions, Source
from myowave.readers.table import read_head
from myowave.recording import Recording, is_recording_file, load

__all__ = ["ReadOptions", "find_sources", "read", "write_csv"]

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
        A Trigno Discover CSV, a MyoWave CSV, an OpenSignals text file, a NinaPro `.mat` or a
        recording file of this program (to which the options do not apply).
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
    if is_recording_file(path):
        return load(path)
    return assemble(_read_source(path, options), options)


def find_sources(paths: Iterable[Path]) -> list[Path]:
    """Return the files among `paths`, and those of folders that hold a supported format.

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
            if ninapro.matches(file.read(128)):
                return True
        lines = read_head(path)
    except (RecordingError, OSError):
        return False
    return any(matches(lines) for matches, _ in _TEXT_FORMATS)


def _read_source(path: Path, options: ReadOptions) -> Source:
    with path.open("rb") as file:
        head = file.read(128)
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
        "MyoWave CSV, an OpenSignals text file or a NinaPro .mat"
    )
