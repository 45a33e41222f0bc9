"""Numbers out of a delimited text file: fast where the file is regular, exact where it is not.

Two forms of one parser. `_read_fast` streams blocks through pyarrow; whatever it does not like is
read again by `_read_plain`, line by line, which either copes (cells of another table on the
right, blank lines at the end) or names the row and column at fault. Both keep only the columns
asked for and stop at `MAX_VALUES`, so memory stays bounded for a file of any size.
"""

import contextlib
import csv
import io
import math
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from myowave.errors import RecordingError
from myowave.readers.source import MAX_VALUES

_BLOCK_BYTES = 1 << 20
_HEAD_BYTES = 1 << 18
_LONGEST_LINE = 1 << 16
_BLANKS = ["", " ", "  ", "NaN", " NaN", "nan", " nan"]


@dataclass(frozen=True)
class TableLayout:
    """Where the numbers of a delimited text file are.

    Attributes
    ----------
    header_rows : int
        Lines before the first row of numbers.
    delimiter, decimal : str
        Single characters.
    titles : tuple of str
        One a column; a row may hold further cells only where `extra_cells`.
    extra_cells : bool
        Whether another table may stand to the right of this one.
    missing : str
        What stands for a missing number, besides a blank cell and NaN.
    """

    header_rows: int
    delimiter: str
    decimal: str
    titles: tuple[str, ...]
    extra_cells: bool = False
    missing: str = ""


def read_head(path: Path) -> list[str]:
    """Return the complete first lines of a text file, at most 256 KiB of them.

    Raises
    ------
    RecordingError
        If the file is empty or binary, or does not exist.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as error:
        raise RecordingError(f"{path}: cannot be read ({error.strerror or error})") from None
    if not head.strip():
        raise RecordingError(f"{path}: empty file, expected a recording")
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise RecordingError(f"{path}: UTF-16 text, expected UTF-8; save it again as CSV UTF-8")
    if b"\0" in head:
        position = head.index(b"\0")
        raise RecordingError(f"{path}: binary file (byte {position} is zero), expected text")
    lines = _decode(head).splitlines()
    return lines if len(head) < _HEAD_BYTES else lines[:-1]


def split_cells(line: str, delimiter: str) -> list[str]:
    """Split one line into cells without the blanks around them."""
    cells = line.split(delimiter)
    if '"' in line:
        # A damaged line can break quoting; then its cells are what lies between delimiters.
        with contextlib.suppress(csv.Error):
            cells = next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])
    return [cell.strip() for cell in cells]


def read_columns(path: Path, layout: TableLayout, wanted: Sequence[int]) -> NDArray[np.float64]:
    """Return the wanted columns, (rows, len(wanted)), NaN where a cell is blank.

    Raises
    ------
    RecordingError
        At a cell that is no number, a row with too few or too many cells, a file without rows or
        cut in mid-row, or one with more values than `MAX_VALUES`. The message names the row as
        an editor counts it and the column.
    """
    _require_line_end(path)
    values = _read_fast(path, layout, wanted)
    if values is None:
        values = _read_plain(path, layout, wanted)
    if len(values) == 0:
        raise RecordingError(f"{path}: row {layout.header_rows + 1}: no numbers after the header")
    return values


def _read_fast(
    path: Path, layout: TableLayout, wanted: Sequence[int]
) -> NDArray[np.float64] | None:
    """Parse by pyarrow in blocks; None where the plain parser must decide."""
    import pyarrow as pa
    from pyarrow import csv as pa_csv

    names = [str(index) for index in range(len(layout.titles))]
    keep = [names[index] for index in wanted]
    blocks: list[NDArray[np.float64]] = []
    rows = 0
    try:
        with pa_csv.open_csv(
            str(path),
            read_options=pa_csv.ReadOptions(
                column_names=names,
                skip_rows=layout.header_rows,
                block_size=_BLOCK_BYTES,
                use_threads=False,
            ),
            parse_options=pa_csv.ParseOptions(
                delimiter=layout.delimiter, ignore_empty_lines=False, newlines_in_values=False
            ),
            convert_options=pa_csv.ConvertOptions(
                include_columns=keep,
                column_types={name: pa.float64() for name in keep},
                null_values=[*_BLANKS, layout.missing],
                decimal_point=layout.decimal,
                check_utf8=False,
            ),
        ) as reader:
            for batch in reader:
                rows += batch.num_rows
                _require_room(path, rows, len(wanted))
                block = np.empty((batch.num_rows, len(wanted)))
                for column in range(len(wanted)):
                    block[:, column] = batch.column(column).to_numpy(zero_copy_only=False)
                blocks.append(block)
    except pa.ArrowInvalid:
        return None
    values = np.empty((rows, len(wanted)))
    # Each block goes as soon as it is copied: twice the samples at once would be too much.
    end = rows
    while blocks:
        block = blocks.pop()
        values[end - len(block) : end] = block
        end -= len(block)
    return None if np.isinf(values).any() else values


def _read_plain(path: Path, layout: TableLayout, wanted: Sequence[int]) -> NDArray[np.float64]:
    """Parse row by row, checking everything."""
    kept = array("d")
    count = len(layout.titles)
    rows = 0
    blank_row: int | None = None
    for number, line in _lines(path):
        if number <= layout.header_rows:
            continue
        if not line.strip():
            blank_row = blank_row or number
            continue
        if blank_row is not None:
            raise RecordingError(f"{path}: row {blank_row}: blank line between rows of numbers")
        # Most of the time goes here: cells are only stripped where they are wanted.
        quoted = '"' in line
        cells = split_cells(line, layout.delimiter) if quoted else line.split(layout.delimiter)
        if len(cells) < count:
            raise RecordingError(
                f"{path}: row {number}: {len(cells)} cells, expected {count}; is the file cut off?"
            )
        if len(cells) > count and not layout.extra_cells and any(map(str.strip, cells[count:])):
            raise RecordingError(f"{path}: row {number}: {len(cells)} cells, expected {count}")
        for column in wanted:
            cell = cells[column].strip()
            if cell == layout.missing:
                cell = ""
            value = _number(cell, layout.decimal)
            if value is None:
                raise RecordingError(
                    f"{path}: row {number}, column {column + 1} '{layout.titles[column]}': "
                    f"'{cell[:40]}' is not a number"
                )
            kept.append(value)
        rows += 1
        _require_room(path, rows, len(wanted))
    return np.array(kept, dtype=np.float64).reshape(rows, len(wanted))


def _number(cell: str, decimal: str) -> float | None:
    if cell in ("", "NaN", "nan"):
        return math.nan
    if "_" in cell or (decimal == "," and "." in cell):
        return None
    try:
        value = float(cell.replace(",", ".") if decimal == "," else cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    with path.open("rb") as file:
        number = 0
        while line := file.readline(_LONGEST_LINE):
            number += 1
            if len(line) == _LONGEST_LINE:
                raise RecordingError(
                    f"{path}: row {number}: over {_LONGEST_LINE} bytes long, expected a table"
                )
            yield number, _decode(line)


def _decode(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _require_room(path: Path, rows: int, columns: int) -> None:
    if rows * columns > MAX_VALUES:
        raise RecordingError(
            f"{path}: more than {MAX_VALUES // columns} rows of {columns} channels, the most one "
            "recording may have; split the file"
        )


def _require_line_end(path: Path) -> None:
    """Refuse a last row that may have lost some of its digits."""
    with path.open("rb") as file:
        file.seek(0, io.SEEK_END)
        size = file.tell()
        file.seek(max(0, size - 1))
        if file.read(1) not in (b"\n", b"\r"):
            raise RecordingError(
                f"{path}: last row does not end with a line end: the file is cut in mid-row (if "
                "it is complete, add a line end)"
            )
