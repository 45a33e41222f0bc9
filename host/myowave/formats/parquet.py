"""Export tables as Parquet: one column a channel, everything else as metadata of the schema."""

import json
import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from myowave.errors import RecordingError
from myowave.files import written_whole
from myowave.formats.table import (
    Annotation,
    Channel,
    Table,
    kind_of,
    parse_json,
    table_of_header,
)
from myowave.readers.source import MAX_VALUES
from myowave.recording import RATE_HZ

NAME = "myowave-parquet"

_KEY = b"myowave.export"
_ROWS_A_GROUP = 1 << 18


def write(table: Table, path: Path, progress: Callable[[int], None] = lambda rows: None) -> None:
    """Write a table; `read` gives it back exactly.

    Columns are `time_s`, one a channel in its unit (named in the column's metadata), NaN in gaps,
    and `warm_up` where there are predictions.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, tuple[Any, str]] = {"time_s": (np.arange(table.n_samples) / RATE_HZ, "s")}
    columns |= {one.name: (one.values(), one.unit) for one in table.channels}
    if table.of("envelope"):
        columns["warm_up"] = (table.warm_up(), "")
    header = {
        **table.header(),
        "rate_hz": RATE_HZ,
        "annotations": [[a.onset_s, a.duration_s, a.words()] for a in table.annotations],
    }
    schema = pa.schema(
        [
            pa.field(name, pa.from_numpy_dtype(values.dtype), metadata={"unit": unit})
            for name, (values, unit) in columns.items()
        ],
        metadata={_KEY: json.dumps(header, ensure_ascii=False).encode()},
    )
    with (
        written_whole(path) as unfinished,
        pq.ParquetWriter(
            unfinished, schema, compression="zstd", write_page_checksum=True
        ) as writer,
    ):
        for first in range(0, table.n_samples, _ROWS_A_GROUP):
            rows = slice(first, first + _ROWS_A_GROUP)
            arrays = [pa.array(values[rows]) for values, _ in columns.values()]
            writer.write_table(pa.table(arrays, schema=schema))
            progress(min(rows.stop, table.n_samples))


def matches(path: Path) -> bool:
    """Tell whether a Parquet file is an export of this program; False where it is damaged."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return _KEY in (pq.read_schema(path).metadata or {})
    except (pa.ArrowException, OSError):
        return False


def read(path: Path) -> Table:
    """Read what `write` wrote.

    Raises
    ------
    RecordingError
        If the file is damaged or of another version.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        described = pq.read_metadata(path)
        if described.num_rows * described.num_columns > MAX_VALUES:
            raise RecordingError(
                f"{path}: {described.num_rows} rows of {described.num_columns} columns, the most "
                f"one recording may have are {MAX_VALUES} values"
            )
        found = pq.read_table(path, page_checksum_verification=True)
    except (pa.ArrowException, OSError):
        raise RecordingError(f"{path}: damaged Parquet file; export it again") from None
    header = parse_json(path, (found.schema.metadata or {}).get(_KEY, b""), "metadata")
    channels = []
    for name in found.column_names:
        kind = kind_of(name)
        column = found.column(name)
        if kind is None:
            continue
        if column.type != pa.float64() or column.null_count:
            raise RecordingError(
                f"{path}: column {name} is {column.type}, expected double without nulls"
            )
        channels.append(
            Channel(
                kind,
                name,
                column.to_numpy(),
                "",
                rate_hz=Fraction(RATE_HZ),
                place=f"column '{name}'",
            )
        )
    return table_of_header(path, header, channels, annotations_of(path, header))


def annotations_of(path: Path, header: dict[str, Any]) -> tuple[Annotation, ...]:
    """Return the annotations a header holds as [onset, duration, words]."""
    try:
        found = tuple(
            Annotation.from_words(float(onset), float(duration), str(words))
            for onset, duration, words in header["annotations"]
        )
        if not all(math.isfinite(one.onset_s) and math.isfinite(one.duration_s) for one in found):
            raise ValueError("no time")
        return found
    except (KeyError, TypeError, ValueError, OverflowError):
        raise RecordingError(f"{path}: damaged export, its annotations cannot be read") from None
