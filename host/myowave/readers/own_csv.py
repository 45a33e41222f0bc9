"""MyoWave CSV: a strict text format, which `myowave export` writes and anybody may.

    # MyoWave CSV 1
    # subject: S1
    # day: 2025-01-29
    # name: curls 3
    # start: 2025-01-29T10:22:21.250000Z
    # rate_hz: 1000
    # samples: 40000
    time [s],acc_x [m/s^2],acc_y [m/s^2],acc_z [m/s^2],gyro_x [rad/s],...,emg biceps [mV]
    0,0.1,9.8,0.02,...

The first line is the format and its version. `rate_hz` (of all columns) and `samples` (number of
rows) are required; `subject`, `day` (ISO date), `name`, `start` (of the first row, in UTC) and
`facts` (one JSON object: source, board, model, clock) are not. Then come the titles, each a
channel and its unit: `acc_x` to `acc_z` in m/s^2, g or mg; `gyro_x` to `gyro_z` in rad/s or deg/s;
any number of `emg MUSCLE` in mV, uV or V; in any order, each once. Then the rows: decimal point,
commas, every cell a number, or blank where a sample is missing. Every line ends with a line end,
the last one too.

What is no measurement may stand beside them: `time [s]`, which must agree with `rate_hz`;
`envelope MUSCLE [1]`, predicted, as a fraction of the reference; `warm_up [0/1]`, 1 where a
prediction looks back over a start or gap; `event [text]`, markers and notes in the row they belong
to, in quotes.
"""

import json
import re
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myowave.errors import RecordingError
from myowave.files import written_whole
from myowave.formats.table import Table, carried, from_iso_utc, parse_json
from myowave.imu import IMU_CHANNELS
from myowave.readers.source import ReadOptions, Signal, Source
from myowave.readers.table import TableLayout, read_columns
from myowave.recording import RATE_HZ
from myowave.resample import exact_rate

NAME = "myowave-csv"

_FIRST_LINE = "# MyoWave CSV 1"
_TITLE = re.compile(
    r"^(?P<channel>(acc|gyro)_[xyz]|(emg|envelope) [^\[\],]+|time|warm_up|event)"
    r" \[(?P<unit>[^\[\],]+)\]$"
)
_TIME, _WARM_UP, _EVENT = "time [s]", "warm_up [0/1]", "event [text]"
_FIELDS = ("subject", "day", "name", "start", "rate_hz", "samples", "facts")
_ROWS_A_BLOCK = 1 << 16


def matches(lines: list[str]) -> bool:
    """Tell whether the first lines of a text file are a MyoWave CSV of any version."""
    return lines[0].startswith("# MyoWave CSV")


def read_source(path: Path, lines: list[str], options: ReadOptions) -> Source:
    """Read a MyoWave CSV; `lines` are its first lines.

    Raises
    ------
    RecordingError
        As `readers.read` states, and at any departure from the format.
    """
    if lines[0].strip() != _FIRST_LINE:
        raise RecordingError(f"{path}: row 1: '{lines[0][:60]}', expected '{_FIRST_LINE}'")
    fields, title_row = _parse_fields(path, lines)
    rate = exact_rate(_positive(path, fields, "rate_hz"))
    samples = int(_positive(path, fields, "samples"))
    for field, parse, example in (
        ("day", date.fromisoformat, "an ISO date such as 2025-01-29"),
        ("start", from_iso_utc, "a time such as 2025-01-29T10:22:21.250000Z"),
    ):
        try:
            if fields.get(field):
                parse(fields[field])
        except ValueError:
            raise RecordingError(
                f"{path}: {field} '{fields[field][:60]}', expected {example}"
            ) from None
    facts = parse_json(path, fields["facts"], "facts") if "facts" in fields else {}
    titles = tuple(title.strip() for title in lines[title_row].split(","))
    columns = _parse_titles(path, title_row + 1, titles)
    imu = [name for name in IMU_CHANNELS if name in columns]
    missing = [name for name in IMU_CHANNELS if name not in columns]
    if missing and not (options.allow_missing_gyro and missing == list(IMU_CHANNELS[3:])):
        remedy = "; allow it with --allow-missing-gyro" if missing == list(IMU_CHANNELS[3:]) else ""
        if not imu and any(name.startswith("envelope ") for name in columns):
            remedy = "; it holds predictions alone, log with --raw"
        raise RecordingError(
            f"{path}: row {title_row + 1}: missing channel {', '.join(missing)}{remedy}"
        )
    emg = [name for name in columns if name.startswith("emg ")]
    if not emg and not options.imu_only:
        raise RecordingError(
            f"{path}: row {title_row + 1}: missing channel 'emg MUSCLE [mV]'; allow it with "
            "--imu-only"
        )
    layout = TableLayout(title_row + 1, ",", ".", titles)
    chosen = [*imu, *emg]
    wanted = [columns[name][0] for name in (*chosen, *(["time"] if "time" in columns else []))]
    values = read_columns(path, layout, wanted)
    if "time" in columns:
        _require_even(path, layout.header_rows, values[:, -1], float(rate))
    if len(values) != samples:
        raise RecordingError(
            f"{path}: {len(values)} rows of numbers, but the header says {samples} samples"
        )
    signals = [
        Signal(
            kind="acc" if name in IMU_CHANNELS[:3] else "gyro" if name in IMU_CHANNELS else "emg",
            label=name,
            sensor="",
            unit=columns[name][1],
            rate_hz=rate,
            values=values[:, position],
            place=f"column {columns[name][0] + 1} '{titles[columns[name][0]]}'",
            first_row=layout.header_rows + 1,
        )
        for position, name in enumerate(chosen)
    ]
    return Source(
        path=path,
        reader=NAME,
        imu=tuple(signals[: len(imu)]),
        emg=tuple(signals[len(imu) :]),
        muscles=tuple(name.removeprefix("emg ") for name in emg),
        subject=fields.get("subject", ""),
        day=fields.get("day", ""),
        name=fields.get("name", ""),
        details={"start": fields.get("start", ""), "exported": facts},
        carried=carried(facts),
    )


def _require_even(
    path: Path, header_rows: int, time_s: NDArray[np.float64], rate_hz: float
) -> None:
    """Refuse rows that do not follow each other as the rate has it, such as after a deletion."""
    off = np.abs(np.diff(time_s) * rate_hz - 1.0)
    uneven = np.flatnonzero(~(off < 0.01))
    if len(uneven) or np.isnan(time_s).any():
        row = int(uneven[0]) + 1 if len(uneven) else 0
        raise RecordingError(
            f"{path}: row {header_rows + 1 + row}: time is {time_s[row]:g} s, expected steps of "
            f"{1 / rate_hz:g} s; are rows missing?"
        )


def write_csv(
    table: Table, path: Path, progress: Callable[[int], None] = lambda rows: None
) -> None:
    """Write a table as MyoWave CSV; reading it gives the same samples, bit for bit.

    Raises
    ------
    RecordingError
        If a name holds a character the format keeps for itself.
    ConfigError
        If the file cannot be written.
    """
    import pyarrow as pa
    from pyarrow import csv as pa_csv

    for what, text, forbidden in (
        ("subject", table.subject, "\r\n"),
        ("day", table.day, "\r\n"),
        ("name", table.name, "\r\n"),
        *(("muscle", one.muscle, "\r\n,[]") for one in table.of("emg", "envelope")),
    ):
        if any(character in text for character in forbidden) or text != text.strip():
            raise RecordingError(
                f"recording '{table.name}': {what} {text!r} cannot stand in a MyoWave CSV"
            )
    columns: dict[str, Any] = {_TIME: np.arange(table.n_samples) / RATE_HZ}
    columns |= {f"{channel.name} [{channel.unit}]": channel.values() for channel in table.channels}
    if table.of("envelope"):
        columns[_WARM_UP] = table.warm_up().astype(np.int8)
        columns[_EVENT] = _events(table)
    header = [
        _FIRST_LINE,
        f"# subject: {table.subject}",
        f"# day: {table.day}",
        f"# name: {table.name}",
        f"# start: {table.start}",
        f"# rate_hz: {RATE_HZ}",
        f"# samples: {table.n_samples}",
        f"# facts: {json.dumps(_facts(table))}",
        ",".join(columns),
    ]
    with written_whole(path) as unfinished, unfinished.open("wb") as file:
        file.write(("\n".join(header) + "\n").encode())
        for first in range(0, table.n_samples, _ROWS_A_BLOCK):
            rows = slice(first, first + _ROWS_A_BLOCK)
            # Arrow prints the shortest text that reads back as the same double.
            pa_csv.write_csv(
                pa.table(
                    [pa.array(column[rows], from_pandas=True) for column in columns.values()],
                    names=list(columns),
                ),
                file,
                pa_csv.WriteOptions(include_header=False),
            )
            progress(min(rows.stop, table.n_samples))


def _facts(table: Table) -> dict[str, Any]:
    """Return what a line of the header has room for: steps of the integers, source, model."""
    header = table.header(brief=True)
    steps = [one for one in header["channels"] if "lsb" in one]
    return {**header["facts"], **({"steps": steps} if steps else {})}


def _events(table: Table) -> NDArray[np.object_]:
    """Return the words that belong to each row, (n,), None where there are none."""
    events = np.full(table.n_samples, None, dtype=object)
    for annotation in table.points():
        row = min(max(round(annotation.onset_s * RATE_HZ), 0), table.n_samples - 1)
        words = annotation.words()
        if abs(annotation.onset_s * RATE_HZ - row) > 1.0:
            words += f" (at {annotation.onset_s:.3f} s)"
        events[row] = words if events[row] is None else f"{events[row]}; {words}"
    return events


def _parse_fields(path: Path, lines: list[str]) -> tuple[dict[str, str], int]:
    fields: dict[str, str] = {}
    for index, line in enumerate(lines[1:], start=1):
        if not line.startswith("#"):
            return fields, index
        key, colon, value = line[1:].partition(":")
        key = key.strip()
        if not colon or key not in _FIELDS or key in fields:
            raise RecordingError(
                f"{path}: row {index + 1}: '{line[:60]}', expected '# FIELD: VALUE' with each of "
                f"{', '.join(_FIELDS)} at most once"
            )
        fields[key] = value.strip()
    raise RecordingError(f"{path}: no row of column titles after the header")


def _positive(path: Path, fields: dict[str, str], name: str) -> float:
    text = fields.get(name, "")
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.0 < value < 1e9 or (name == "samples" and value != int(value)):
        raise RecordingError(f"{path}: {name} is '{text}' in the header, expected a number above 0")
    return value


def _parse_titles(path: Path, row: int, titles: tuple[str, ...]) -> dict[str, tuple[int, str]]:
    columns: dict[str, tuple[int, str]] = {}
    for index, title in enumerate(titles):
        match = _TITLE.match(title)
        if match is None:
            raise RecordingError(
                f"{path}: row {row}, column {index + 1}: '{title[:60]}', expected a title such as "
                "'acc_x [m/s^2]', 'gyro_x [rad/s]' or 'emg biceps [mV]'"
            )
        if match["channel"] in columns:
            raise RecordingError(
                f"{path}: row {row}, column {index + 1}: '{match['channel']}' a second time"
            )
        columns[match["channel"]] = (index, match["unit"])
    return columns
