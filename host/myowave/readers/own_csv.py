"""MyoWave CSV: a strict text format for recordings made with anything else.

    # MyoWave CSV 1
    # subject: S1
    # day: 2025-01-29
    # name: curls 3
    # rate_hz: 1000
    # samples: 40000
    acc_x [m/s^2],acc_y [m/s^2],acc_z [m/s^2],gyro_x [rad/s],...,emg biceps [mV]
    0.1,9.8,0.02,...

The first line is the format and its version. `rate_hz` (of all columns) and `samples` (number of
rows) are required, `subject`, `day` (ISO date) and `name` are not. Then come the titles, each a
channel and its unit: `acc_x` to `acc_z` in m/s^2, g or mg; `gyro_x` to `gyro_z` in rad/s or deg/s;
any number of `emg MUSCLE` in mV, uV or V; in any order, each once. Then the rows: decimal point,
commas, every cell a number. Every line ends with a line end, the last one too.
"""

import re
from datetime import date
from pathlib import Path

from myowave.errors import RecordingError
from myowave.files import written_whole
from myowave.imu import IMU_CHANNELS
from myowave.readers.source import ReadOptions, Signal, Source
from myowave.readers.table import TableLayout, read_columns
from myowave.recording import RATE_HZ, Recording
from myowave.resample import exact_rate

NAME = "myowave-csv"

_FIRST_LINE = "# MyoWave CSV 1"
_TITLE = re.compile(r"^(?P<channel>(acc|gyro)_[xyz]|emg [^\[\],]+) \[(?P<unit>[^\[\],]+)\]$")
_FIELDS = ("subject", "day", "name", "rate_hz", "samples")


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
    if fields.get("day"):
        try:
            date.fromisoformat(fields["day"])
        except ValueError:
            raise RecordingError(
                f"{path}: day '{fields['day']}', expected an ISO date such as 2025-01-29"
            ) from None
    titles = tuple(title.strip() for title in lines[title_row].split(","))
    columns = _parse_titles(path, title_row + 1, titles)
    imu = [name for name in IMU_CHANNELS if name in columns]
    missing = [name for name in IMU_CHANNELS if name not in columns]
    if missing and not (options.allow_missing_gyro and missing == list(IMU_CHANNELS[3:])):
        remedy = "; allow it with --allow-missing-gyro" if missing == list(IMU_CHANNELS[3:]) else ""
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
    values = read_columns(path, layout, [columns[name][0] for name in chosen])
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
    )


def write_csv(recording: Recording, path: Path) -> None:
    """Write a recording as MyoWave CSV; reading it gives the same samples, bit for bit.

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
        ("subject", recording.subject, "\r\n"),
        ("day", recording.day, "\r\n"),
        ("name", recording.name, "\r\n"),
        *(("muscle", muscle, "\r\n,[]") for muscle in recording.muscles),
    ):
        if any(character in text for character in forbidden) or text != text.strip():
            raise RecordingError(
                f"recording '{recording.name}': {what} {text!r} cannot stand in a MyoWave CSV"
            )
    units = ["m/s^2"] * 3 + ["rad/s"] * 3 + ["mV"] * len(recording.muscles)
    names = [*IMU_CHANNELS, *(f"emg {muscle}" for muscle in recording.muscles)]
    header = [
        _FIRST_LINE,
        f"# subject: {recording.subject}",
        f"# day: {recording.day}",
        f"# name: {recording.name}",
        f"# rate_hz: {RATE_HZ}",
        f"# samples: {recording.n_samples}",
        ",".join(f"{name} [{unit}]" for name, unit in zip(names, units, strict=True)),
    ]
    columns = [*recording.acc.T, *recording.gyro.T, *recording.emg.T]
    with written_whole(path) as unfinished, unfinished.open("wb") as file:
        file.write(("\n".join(header) + "\n").encode())
        # Arrow prints the shortest text that reads back as the same double.
        pa_csv.write_csv(
            pa.table([pa.array(column) for column in columns], names=names),
            file,
            pa_csv.WriteOptions(include_header=False),
        )


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
