"""Annotations of EDF+ and BDF+ files: time-stamped annotation lists (edfplus.info, section 2.2).

Read here and not by edfio, whose pattern takes a time that grows with the square of a record's
length: a damaged or made-up file would hold the program up for hours.
"""

from pathlib import Path

import numpy as np

_HEAD = 256
# Widths of a signal's fields before its samples a record: label to prefiltering.
_BEFORE_SAMPLES = 16 + 80 + 5 * 8 + 80
_LONGEST_NUMBER = 40
# Clocks of recorders are written with seven digits at most.
_TOLERANCE_S = 1e-3


def read_annotations(path: Path) -> list[tuple[float, float, str]]:
    """Return onset and duration in s, from the first sample on, and text of each annotation.

    Raises
    ------
    ValueError
        If the header is no such file's, a list is not as it should be, or records do not follow
        each other without a gap.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
        n_signals = int(head[252:256])
        if not 0 < n_signals <= 4096:
            raise ValueError(f"{n_signals} signals")
        fields = file.read(_HEAD * n_signals)
    width = 3 if head.startswith(b"\xff") else 2
    record_s = float(head[244:252])
    at = _BEFORE_SAMPLES * n_signals
    sizes = [width * int(fields[at + 8 * i : at + 8 * i + 8]) for i in range(n_signals)]
    if min(sizes) < 0 or sum(sizes) == 0:
        raise ValueError("records of no samples")
    listed = [
        (sum(sizes[:i]), sizes[i])
        for i in range(n_signals)
        if fields[16 * i : 16 * i + 16].rstrip() in (b"EDF Annotations", b"BDF Annotations")
    ]
    begin = _HEAD * (n_signals + 1)
    n_records = (path.stat().st_size - begin) // sum(sizes)
    if not listed or n_records <= 0:
        return []
    records = np.memmap(path, np.uint8, "r", begin, (n_records, sum(sizes)))
    found: list[tuple[float, float, str]] = []
    origin_s = 0.0
    for number in range(n_records):
        for index, (first, size) in enumerate(listed):
            lists = _lists(records[number, first : first + size].tobytes())
            if index == 0:
                # The first list of a record says when it began.
                if not lists:
                    raise ValueError(f"record {number + 1} does not say when it began")
                onset_s = lists[0][0]
                origin_s = onset_s if number == 0 else origin_s
                if abs(onset_s - origin_s - number * record_s) > _TOLERANCE_S:
                    raise ValueError(f"a gap before record {number + 1}, at {onset_s:g} s")
            found += [
                # Sums of floats as other programs write them: digits beyond 0.1 µs are noise.
                (round(onset_s - origin_s, 7), duration_s, text)
                for onset_s, duration_s, texts in lists
                for text in texts
                if text
            ]
    return found


def _lists(record: bytes) -> list[tuple[float, float, list[str]]]:
    """Return onset, duration and texts of each list in a record."""
    found = []
    for piece in record.split(b"\0"):
        if not piece:
            continue
        times, mark, texts = piece.partition(b"\x14")
        onset, _, duration = times.partition(b"\x15")
        if not mark or not texts.endswith(b"\x14") or onset[:1] not in (b"+", b"-"):
            raise ValueError(f"no annotation: {piece[:20]!r}")
        parts = texts[:-1].decode("utf-8", "replace").split("\x14")
        found.append((_number(onset), _number(duration) if duration else 0.0, parts))
    return found


def _number(text: bytes) -> float:
    if len(text) > _LONGEST_NUMBER or not text.strip(b"+-").replace(b".", b"", 1).isdigit():
        raise ValueError(f"no time: {text[:20]!r}")
    return float(text)
