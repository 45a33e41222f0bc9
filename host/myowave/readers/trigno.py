"""Reader of the CSV files Delsys Trigno Discover exports, in their variants.

A header of three lines (application, date, length), one with the sensors' names, one with their
modes, one with the column titles, then, depending on version and options, one with rates and one
with sample periods. Columns may come with or without a time column each; slower channels end
earlier and leave blank cells; a table of markers may stand to the right. Exports use `,` or,
where the computer's language says so, `;` with a decimal comma. Files saved again by pandas have
an index column and a row of column numbers or names before the header.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from myowave.errors import RecordingError
from myowave.readers.dates import parse_day
from myowave.readers.imu_choice import choose_imu
from myowave.readers.source import Kind, ReadOptions, Signal, Source
from myowave.readers.table import TableLayout, read_columns, split_cells
from myowave.resample import exact_rate

NAME = "trigno-discover"

_TITLE = re.compile(r"^(?P<kind>ACC|GYRO|EMG)\s*(?P<axis>[XYZ]|\d*)\s*\((?P<unit>[^()]*)\)$", re.I)
_TIME_TITLE = re.compile(r"Time Series\s*\(s\)", re.I)
_HEADER_SEARCH_ROWS = 16
_KINDS: dict[str, Kind] = {"acc": "acc", "gyro": "gyro", "emg": "emg"}


@dataclass(frozen=True)
class _Header:
    layout: TableLayout
    sensors: tuple[str, ...]
    rates: tuple[Fraction | None, ...]
    application: str
    recorded: str
    length_s: float | None


@dataclass(frozen=True)
class _Column:
    index: int
    kind: Kind
    axis: str
    unit: str
    sensor: str
    title: str
    time_index: int | None


def matches(lines: list[str]) -> bool:
    """Tell whether the first lines of a text file are a Trigno Discover export."""
    return any("Trigno Discover" in line for line in lines[:3])


def read_source(path: Path, lines: list[str], options: ReadOptions) -> Source:
    """Read a Trigno Discover export; `lines` are its first lines.

    Raises
    ------
    RecordingError
        As `readers.read` states.
    """
    header = _parse_header(path, lines)
    columns = _find_columns(header)
    imu = _choose_imu(path, columns, _unknown_titles(header), options)
    emg = [column for column in columns if column.kind == "emg"]
    if not emg and not options.imu_only:
        raise RecordingError(
            f"{path}: missing channel EMG, columns are {_listed(header.layout.titles)}; allow it "
            "with --imu-only"
        )
    chosen = [*imu, *emg]
    times = sorted({column.time_index for column in chosen if column.time_index is not None})
    wanted = [*(column.index for column in chosen), *times]
    values = read_columns(path, header.layout, wanted)

    signals = []
    for position, column in enumerate(chosen):
        time = None
        if column.time_index is not None:
            time = values[:, len(chosen) + times.index(column.time_index)]
        signals.append(_signal(path, header, column, values[:, position], time))
    day, recorded = parse_day(header.recorded, options.date_order)
    return Source(
        path=path,
        reader=NAME,
        imu=tuple(signals[: len(imu)]),
        emg=tuple(signals[len(imu) :]),
        muscles=_muscles(emg),
        day=day,
        length_s=header.length_s,
        details={
            "application": header.application,
            "recorded": recorded,
            **({} if day or not header.recorded else {"unread_date": header.recorded}),
            "imu_sensor": imu[0].sensor,
            "emg_sensors": [column.sensor for column in emg],
        },
    )


def _parse_header(path: Path, lines: list[str]) -> _Header:
    top = next(index for index, line in enumerate(lines[:3]) if "Trigno Discover" in line)
    delimiter = _delimiter(lines)
    rows = [split_cells(line, delimiter) for line in lines[: top + _HEADER_SEARCH_ROWS]]
    title_row = next(
        (i for i, row in enumerate(rows) if any(_TITLE.match(cell) for cell in row)),
        None,
    )
    if title_row is None:
        raise RecordingError(
            f"{path}: no row of column titles such as 'ACC X (G)' and 'EMG 1 (mV)' in the first "
            f"{len(rows)} rows"
        )
    # pandas writes the row number before each row: "5,ACC X (G),..." and nothing before row 0.
    indexed = rows[title_row][0].isdigit() or rows[title_row][0] == ""
    skip = 1 if indexed else 0
    titles = tuple(rows[title_row])
    after = title_row + 1
    rate_cells: list[str] = []
    while after < len(rows) and _is_header_row(rows[after][skip:]):
        if any(cell.endswith("Hz") for cell in rows[after]):
            rate_cells = rows[after]
        after += 1
    extra = any(len(row) > len(titles) for row in rows[title_row:])
    decimal = "."
    if delimiter != ",":
        decimal = "," if any("," in line for line in lines[after : after + 50]) else "."
    sensor_row = title_row - 1
    while sensor_row > top and "".join(rows[sensor_row][skip:]).startswith("sensor mode"):
        sensor_row -= 1

    facts = {}
    for row in rows[top:title_row]:
        cells = row[skip:]
        if len(cells) > 1 and cells[0].endswith(":"):
            facts[cells[0].lower().rstrip(":")] = cells[1]
    length_text = facts.get("collection length (seconds)", "")
    return _Header(
        layout=TableLayout(after, delimiter, decimal, titles, extra_cells=extra),
        sensors=_fill_forward(rows[sensor_row] if sensor_row > top else [], len(titles), skip),
        rates=tuple(
            _parse_rate(path, rate_cells[i] if i < len(rate_cells) else "", titles[i], i)
            for i in range(len(titles))
        ),
        application=facts.get("application", ""),
        recorded=facts.get("date/time", ""),
        length_s=_parse_length(path, length_text, decimal),
    )


def _delimiter(lines: list[str]) -> str:
    """Return the delimiter that makes the most cells of some row column titles."""

    def titles(delimiter: str) -> int:
        rows = (split_cells(line, delimiter) for line in lines[:_HEADER_SEARCH_ROWS])
        return max(sum(bool(_TITLE.match(cell)) for cell in row) for row in rows)

    return max(",;\t", key=titles)


def _is_header_row(cells: list[str]) -> bool:
    """Tell rates, periods (370.3704 Hz, 0.0027 s) and marker titles from rows of numbers."""
    return "Type" in cells or any(re.search(r"\d\s*(Hz|s)$", cell) for cell in cells)


def _fill_forward(cells: list[str], count: int, skip: int) -> tuple[str, ...]:
    filled = []
    current = ""
    for index in range(count):
        cell = cells[index] if skip <= index < len(cells) else ""
        if cell and not cell.startswith("Unnamed:"):
            current = cell
        filled.append(current)
    return tuple(filled)


def _parse_rate(path: Path, cell: str, title: str, index: int) -> Fraction | None:
    if not cell or not _TITLE.match(title):
        return None
    match = re.fullmatch(r"([\d.,]+)\s*Hz", cell)
    try:
        rate = float(match.group(1).replace(",", ".")) if match else float("nan")
    except ValueError:
        rate = float("nan")
    if not 1.0 <= rate <= 100_000.0:
        raise RecordingError(
            f"{path}: column {index + 1} '{title}' has the rate '{cell}', expected such as "
            "'370.3704 Hz'"
        )
    return exact_rate(rate)


def _parse_length(path: Path, text: str, decimal: str) -> float | None:
    if not text:
        return None
    try:
        length = float(text.replace(",", ".") if decimal == "," else text)
    except ValueError:
        raise RecordingError(
            f"{path}: 'Collection Length (seconds)' is '{text}', expected a number"
        ) from None
    return length if 0.0 < length < 1e6 else None


def _find_columns(header: _Header) -> list[_Column]:
    columns = []
    time_index: int | None = None
    for index, title in enumerate(header.layout.titles):
        if _TIME_TITLE.search(title):
            time_index = index
            continue
        match = _TITLE.match(title)
        if match is None:
            continue
        columns.append(
            _Column(
                index,
                _KINDS[match["kind"].lower()],
                match["axis"].upper(),
                match["unit"],
                header.sensors[index],
                title,
                time_index,
            )
        )
    return columns


def _unknown_titles(header: _Header) -> list[str]:
    """Return titles of columns that are neither channel nor time, up to a table of markers."""
    unknown = []
    for title in header.layout.titles:
        if title == "Type":
            break
        if title and not title.isdigit() and not _TIME_TITLE.search(title):
            unknown += [] if _TITLE.match(title) else [title]
    return unknown


def _choose_imu(
    path: Path, columns: list[_Column], unknown: list[str], options: ReadOptions
) -> list[_Column]:
    sensors: dict[str, dict[str, _Column]] = {}
    for column in columns:
        if column.kind in ("acc", "gyro"):
            sensors.setdefault(column.sensor, {})[f"{column.kind}_{column.axis.lower()}"] = column
    others = f", not recognised are {_listed(unknown)}" if unknown else ""
    return choose_imu(
        path,
        sensors,
        options,
        held=f"columns are {_listed(column.title for column in columns)}{others}",
        spelled=lambda name: name.replace("_", " ").upper(),
    )


def _muscles(emg: list[_Column]) -> tuple[str, ...]:
    names = []
    for column in emg:
        name = re.sub(r"\s*\([^()]*\)$", "", column.sensor).strip() or "emg"
        if sum(other.sensor == column.sensor for other in emg) > 1:
            name = f"{name} {column.axis}"
        while name in names:
            name += "'"
        names.append(name)
    return tuple(names)


def _signal(
    path: Path,
    header: _Header,
    column: _Column,
    values: NDArray[np.float64],
    time: NDArray[np.float64] | None,
) -> Signal:
    place = f"column {column.index + 1} '{column.title}'"
    rate = header.rates[column.index]
    start_s = 0.0
    if time is not None:
        rate, start_s = _check_time(path, header, column, values, time)
    if rate is None:
        raise RecordingError(
            f"{path}: {place} has neither a rate such as '370.3704 Hz' nor a time column"
        )
    return Signal(
        kind=column.kind,
        label=column.title,
        sensor=column.sensor,
        unit=column.unit,
        rate_hz=rate,
        values=values,
        place=place,
        first_row=header.layout.header_rows + 1,
        start_s=start_s,
    )


def _check_time(
    path: Path,
    header: _Header,
    column: _Column,
    values: NDArray[np.float64],
    time: NDArray[np.float64],
) -> tuple[Fraction, float]:
    """Return rate and start, having held the time column to the header's rate."""
    assert column.time_index is not None
    place = f"column {column.time_index + 1} '{header.layout.titles[column.time_index]}'"
    present = np.flatnonzero(~np.isnan(values))
    if len(present) < 2:
        return header.rates[column.index] or Fraction(1), 0.0
    known = time[: present[-1] + 1]
    first_row = header.layout.header_rows + 1
    if np.isnan(known).any():
        row = first_row + int(np.flatnonzero(np.isnan(known))[0])
        raise RecordingError(f"{path}: row {row}, {place}: no time beside a value")
    steps = np.diff(known)
    typical = float(np.median(steps))
    mean_rate = (len(known) - 1) / float(known[-1] - known[0]) if known[-1] > known[0] else 0.0
    rate = header.rates[column.index]
    if typical <= 0.0 or mean_rate <= 0.0:
        raise RecordingError(f"{path}: row {first_row + 1}, {place}: time does not increase")
    jumps = np.flatnonzero(np.abs(steps - typical) > 0.5 * typical)
    if len(jumps):
        row = first_row + int(jumps[0]) + 1
        raise RecordingError(
            f"{path}: row {row}, {place}: time goes from {known[jumps[0]]:g} to "
            f"{known[jumps[0] + 1]:g} s, expected steps of {typical:g} s; the recording has a gap"
        )
    if rate is not None and abs(mean_rate / float(rate) - 1.0) > 1e-3:
        raise RecordingError(
            f"{path}: {place} runs at {mean_rate:.4f} Hz, but the header says {float(rate):.4f} Hz"
        )
    return rate or exact_rate(mean_rate), float(known[0])


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names if name)
