"""Recordings in, whatever made them: the format is found by content, not by name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from myowave.errors import RecordingError
from myowave.readers import ninapro, opensignals, own_csv, trigno
from myowave.readers.assemble import assemble
from myowave.readers.own_csv import write_csv
from myowave.readers.source import ReadOptions, Source
from myowave.readers.table import read_head
from myowave.recording import Recording, is_recording_file, load

__all__ = ["ReadOptions", "read", "write_csv"]

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


def _read_source(path: Path, options: ReadOptions) -> Source:
    with path.open("rb") as file:
        head = file.read(128)
    if ninapro.matches(head):
        return ninapro.read_source(path, head, options)
    lines = read_head(path)
    for matches, read_source in _TEXT_FORMATS:
        if matches(lines):
            return read_source(path, lines, options)
    raise RecordingError(
        f"{path}: unknown format (first row '{lines[0][:60]}'), expected a Trigno Discover CSV, a "
        "MyoWave CSV, an OpenSignals text file or a NinaPro .mat"
    )
