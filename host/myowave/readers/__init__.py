"""Recordings in, whatever made them: the format is found by content, not by name."""

from pathlib import Path
from typing import Any

from myowave.errors import RecordingError
from myowave.readers import trigno
from myowave.readers.assemble import assemble
from myowave.readers.source import ReadOptions, Source
from myowave.readers.table import read_head
from myowave.recording import Recording, is_recording_file, load

__all__ = ["ReadOptions", "read"]


def read(path: Path, options: ReadOptions | None = None, **changes: Any) -> Recording:
    """Read any supported recording as one 1 kHz recording.

    Parameters
    ----------
    path : Path
        A Trigno Discover CSV, a MyoWave CSV, an OpenSignals text file, a NinaPro `.mat` or a
        recording file of this program.
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
    lines = read_head(path)
    if trigno.matches(lines):
        return trigno.read_source(path, lines, options)
    raise RecordingError(
        f"{path}: unknown format (first line '{lines[0][:60]}'), expected a Trigno Discover CSV, "
        "a MyoWave CSV, an OpenSignals text file or a NinaPro .mat"
    )
