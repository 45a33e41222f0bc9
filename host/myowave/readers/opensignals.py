"""Reader of OpenSignals (r)evolution text files, from biosignalsplux and BITalino devices.

Three header lines start with `#`, the second a JSON object by device; then one row of raw
converter counts a sample, separated by tabs. What a count is worth depends on the sensor:

- sEMG has a stated transfer function, (count / 2^bits - 1/2) * VCC / gain, with 3 V and 1000 on
  biosignalsplux, 3.3 V and 1009 on BITalino (PLUX, EMG sensor data sheets).
- Accelerometers are analogue and differ: each axis needs its counts at -1 g and +1 g (PLUX, ACC
  sensor data sheet), which the file does not hold and the caller must give.
- No gyroscope has a stated transfer function, so its channels are refused.
"""

import json
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myowave.errors import RecordingError
from myowave.readers.dates import parse_day
from myowave.readers.source import Kind, ReadOptions, Signal, Source
from myowave.readers.table import TableLayout, read_columns
from myowave.resample import exact_rate

NAME = "opensignals"

_END = "# EndOfHeader"
_EMG_VOLTS_GAIN = {"biosignalsplux": (3.0, 1000.0), "bitalino": (3.3, 1009.0)}
_BIOSIGNALSPLUX = ("biosignalsplux", "channeller", "plux")


def matches(lines: list[str]) -> bool:
    """Tell whether the first lines of a text file are an OpenSignals file."""
    return lines[0].startswith("# OpenSignals Text File Format")


def read_source(path: Path, lines: list[str], options: ReadOptions) -> Source:
    """Read an OpenSignals file; `lines` are its first lines.

    Raises
    ------
    RecordingError
        As `readers.read` states; where accelerometer counts come without calibration; and where
        the sequence numbers show lost samples.
    """
    device, header_rows = _parse_header(path, lines)
    family = _family(path, device)
    sensors = [str(sensor) for sensor in _list(path, device, "sensor")]
    columns = [str(column) for column in _list(path, device, "column")]
    # Channels come last; sequence number and digital lines before them.
    first = len(columns) - len(sensors)
    resolution = _list(path, device, "resolution")
    if first < 0 or len(resolution) < len(sensors):
        raise RecordingError(
            f"{path}: row 2: {len(columns)} columns and {len(resolution)} resolutions for "
            f"{len(sensors)} sensors"
        )
    bits = [int(b) if isinstance(b, int) else 0 for b in resolution[-len(sensors) :]]
    if not all(1 <= b <= 24 for b in bits):
        raise RecordingError(f"{path}: row 2: resolution {resolution}, expected bits a channel")
    rate = device.get("sampling rate")
    if not isinstance(rate, int | float) or not 1 <= rate <= 100_000:
        raise RecordingError(f"{path}: row 2: sampling rate {rate!r}, expected a number of Hz")

    acc, emg = _indices(sensors, "ACC|XYZ"), _indices(sensors, "EMG")
    calibration = _check_channels(path, sensors, options)

    layout = TableLayout(header_rows, "\t", ".", tuple(columns), extra_cells=True)
    wanted = [first + i for i in (*acc, *emg)]
    sequence = next((i for i, name in enumerate(columns) if name.lower() == "nseq"), None)
    values = read_columns(path, layout, [*wanted, *([] if sequence is None else [sequence])])
    if sequence is not None:
        _check_sequence(path, header_rows + 1, values[:, -1])

    def signal(kind: Kind, index: int, converted: NDArray[np.float64], unit: str) -> Signal:
        return Signal(
            kind=kind,
            label=sensors[index],
            sensor=columns[first + index],
            unit=unit,
            rate_hz=Fraction(exact_rate(float(rate))),
            values=converted,
            place=f"column {first + index + 1} '{columns[first + index]}' ({sensors[index]})",
            first_row=header_rows + 1,
        )

    volts, gain = _EMG_VOLTS_GAIN[family]
    imu = [
        signal("acc", index, 2.0 * (values[:, position] - low) / (high - low) - 1.0, "g")
        for position, (index, (low, high)) in enumerate(zip(acc, calibration, strict=True))
    ]
    muscles = [
        signal(
            "emg",
            index,
            (values[:, len(acc) + position] / 2 ** bits[index] - 0.5) * volts / gain * 1e3,
            "mV",
        )
        for position, index in enumerate(emg)
    ]
    stated = f"{device.get('date', '')} {device.get('time', '')}".strip()
    day, recorded = parse_day(stated)
    return Source(
        path=path,
        reader=NAME,
        imu=tuple(imu),
        emg=tuple(muscles),
        muscles=("emg",) if len(emg) == 1 else tuple(f"emg {i + 1}" for i in range(len(emg))),
        day=day,
        details={
            "device": str(device.get("device", "")),
            "recorded": recorded,
            **({} if day or not stated else {"unread_date": stated}),
            "acc_calibration": [list(pair) for pair in calibration],
        },
    )


def _parse_header(path: Path, lines: list[str]) -> tuple[dict[str, Any], int]:
    end = next((i for i, line in enumerate(lines[:8]) if line.strip() == _END), None)
    if end is None:
        raise RecordingError(f"{path}: no row '{_END}' in the first 8 rows")
    try:
        devices = json.loads(lines[1].lstrip("# "))
    except (json.JSONDecodeError, RecursionError) as error:
        raise RecordingError(f"{path}: row 2: not JSON ({error})") from None
    if not isinstance(devices, dict) or not all(isinstance(d, dict) for d in devices.values()):
        raise RecordingError(f"{path}: row 2: expected a JSON object by device")
    if len(devices) != 1:
        raise RecordingError(
            f"{path}: row 2: {len(devices)} devices ({', '.join(map(str, devices))}), expected "
            "one; their clocks are not the same"
        )
    (device,) = devices.values()
    if device.get("convertedValues", 0) not in (0, "0"):
        raise RecordingError(
            f"{path}: row 2: holds converted values without their units, expected raw counts; "
            "export it without conversion"
        )
    return device, end + 1


def _list(path: Path, device: dict[str, Any], key: str) -> list[Any]:
    value = device.get(key)
    if not isinstance(value, list) or not value:
        raise RecordingError(f"{path}: row 2: '{key}' is {value!r}, expected a list")
    return value


def _family(path: Path, device: dict[str, Any]) -> str:
    name = str(device.get("device", "")).lower()
    if name.startswith("bitalino"):
        return "bitalino"
    if name.startswith(_BIOSIGNALSPLUX):
        return "biosignalsplux"
    raise RecordingError(
        f"{path}: row 2: device '{name}', expected biosignalsplux or bitalino, whose sEMG transfer "
        "function is known"
    )


def _indices(sensors: list[str], kinds: str) -> list[int]:
    return [index for index, sensor in enumerate(sensors) if re.match(kinds, sensor, re.I)]


def _check_channels(
    path: Path,
    sensors: list[str],
    options: ReadOptions,
) -> list[tuple[float, float]]:
    """Return the calibration of each accelerometer axis, or refuse what cannot be converted."""
    found = ", ".join(sensors)
    acc, emg = _indices(sensors, "ACC|XYZ"), _indices(sensors, "EMG")
    if len(acc) != 3:
        raise RecordingError(
            f"{path}: {len(acc)} accelerometer channels among sensors {found}, expected 3"
        )
    if not emg and not options.imu_only:
        raise RecordingError(
            f"{path}: missing channel EMG among sensors {found}; allow it with --imu-only"
        )
    if not options.allow_missing_gyro:
        gyro = _indices(sensors, "GYR")
        what = "its counts have no stated transfer function" if gyro else "there is none"
        raise RecordingError(
            f"{path}: missing channel gyroscope ({what}) among sensors {found}; take acceleration "
            "alone with --allow-missing-gyro"
        )
    calibration = list(options.acc_calibration or ())
    if len(calibration) == 1:
        calibration *= 3
    if len(calibration) != 3:
        raise RecordingError(
            f"{path}: accelerometer counts need a calibration, give the counts at -1 g and +1 g "
            "of each axis with --acc-calibration LOW:HIGH (once, or once an axis)"
        )
    for low, high in calibration:
        if not high > low >= 0:
            raise RecordingError(
                f"{path}: accelerometer calibration {low:g}:{high:g}, expected 0 <= LOW < HIGH"
            )
    return calibration


def _check_sequence(path: Path, first_row: int, sequence: NDArray[np.float64]) -> None:
    """Refuse lost samples: the number counts up by one and starts again at 0 after its highest."""
    if len(sequence) < 2 or np.isnan(sequence).any():
        return
    steps = np.diff(sequence)
    wraps = (sequence[1:] == 0) & (sequence[:-1] == sequence.max())
    lost = np.flatnonzero((steps != 1) & ~wraps)
    if len(lost):
        at = int(lost[0])
        raise RecordingError(
            f"{path}: row {first_row + at + 1}, column nSeq: {sequence[at + 1]:g} after "
            f"{sequence[at]:g}: samples were lost"
        )
