"""Writers of small source files whose every sample is known as a function of time."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from myowave.imu import DEG_RAD, G_M_S2

IMU_RATE = Fraction(10000, 27)
EMG_RATE = Fraction(58000, 27)

Function = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def acc_g(axis: int, shift: float = 0.0) -> Function:
    """Acceleration along one axis in g."""
    offset = (0.9, -0.2, -0.3)[axis]
    return lambda t: offset + 0.3 * np.sin(2 * np.pi * (1.1 + 0.7 * axis) * t + axis + shift)


def gyro_deg_s(axis: int, shift: float = 0.0) -> Function:
    """Angular rate about one axis in deg/s."""
    return lambda t: 120.0 * np.sin(2 * np.pi * (0.9 + 0.5 * axis) * t + 2 * axis + shift)


def emg_mv(index: int) -> Function:
    """SEMG of one sensor in mV: two tones inside the band."""
    return lambda t: (
        0.4 * np.sin(2 * np.pi * (83.0 + 10 * index) * t)
        + 0.2 * np.sin(2 * np.pi * 211.0 * t + index)
    )


def expected(duration_ms: int, imu_shift: float = 0.0) -> tuple[NDArray[np.float64], ...]:
    """Acceleration in m/s², angular rate in rad/s and sEMG 0 in mV, sampled at 1 kHz."""
    t = np.arange(duration_ms) / 1000.0
    acc = np.column_stack([acc_g(axis, imu_shift)(t) for axis in range(3)]) * G_M_S2
    gyro = np.column_stack([gyro_deg_s(axis, imu_shift)(t) for axis in range(3)]) * DEG_RAD
    return acc, gyro, emg_mv(0)(t)[:, None]


@dataclass(frozen=True)
class Channel:
    """One column of a Trigno file."""

    title: str
    rate: Fraction
    function: Function

    @property
    def time_title(self) -> str:
        return self.title.partition(" (")[0] + " Time Series (s)"


@dataclass(frozen=True)
class Sensor:
    """One sensor of a Trigno file."""

    name: str
    channels: tuple[Channel, ...]


def imu_sensor(name: str = "wrist (81457)", shift: float = 0.0) -> Sensor:
    """A sensor with six IMU channels."""
    acc = [Channel(f"ACC {'XYZ'[i]} (G)", IMU_RATE, acc_g(i, shift)) for i in range(3)]
    gyro = [Channel(f"GYRO {'XYZ'[i]} (deg/s)", IMU_RATE, gyro_deg_s(i, shift)) for i in range(3)]
    return Sensor(name, (*acc, *gyro))


def emg_sensor(name: str = "bicep (81139)", index: int = 0) -> Sensor:
    """A sensor with one sEMG channel."""
    return Sensor(name, (Channel("EMG 1 (mV)", EMG_RATE, emg_mv(index)),))


@dataclass(frozen=True)
class Trigno:
    """A Trigno Discover export and the ways it may be written."""

    sensors: tuple[Sensor, ...] = (imu_sensor(), emg_sensor())
    seconds: float = 2.7
    recorded: str = "29/01/2025 10:22:21"
    times: bool = False
    periods: bool = False
    markers: bool = False
    pandas: bool = False
    delimiter: str = ","
    decimal: str = "."
    line_end: str = "\r\n"
    bom: bool = False
    blank: str = ""
    tail_rows: int = 0

    def changed(self, **changes: object) -> "Trigno":
        return replace(self, **changes)  # type: ignore[arg-type]

    def rows(self) -> list[list[str]]:
        """Header and data cells; a test may change some before writing them."""
        sensors: list[str] = []
        modes: list[str] = []
        titles: list[str] = []
        rates: list[str] = []
        periods: list[str] = []
        columns: list[list[str]] = []
        for sensor in self.sensors:
            for index, channel in enumerate(sensor.channels):
                n = int(self.seconds * channel.rate)
                t = np.arange(n) / float(channel.rate)
                for is_time in (True, False) if self.times else (False,):
                    first = index == 0 and (is_time or not self.times)
                    sensors.append(sensor.name if first else "")
                    modes.append("sensor mode: 609" if first else "")
                    titles.append(channel.time_title if is_time else channel.title)
                    rates.append("" if is_time else f"{float(channel.rate):.4f} Hz")
                    periods.append("" if is_time else f"{1 / float(channel.rate):.6f} s")
                    values = t if is_time else channel.function(t)
                    columns.append([f"{value:.7f}" for value in values])
        count = max(len(column) for column in columns) + self.tail_rows
        cells = [column + [self.blank] * (count - len(column)) for column in columns]
        rows = [
            ["Application:", "Trigno Discover (1.6.5)"],
            ["Date/Time:", self.recorded],
            ["Collection Length (seconds):", f"{count / float(self.fastest):.4f}"],
            sensors,
            modes,
            titles,
            rates,
        ]
        if self.periods:
            rows.append(periods)
        data = [list(row) for row in zip(*cells, strict=True)]
        if self.markers:
            rows[-1] = [*rows[-1], "Type", "Name", "Time (s)"]
            data[0] += ["General", "start", "0.5"]
            data[1] += ["General", "stop", "1.5"]
        return rows + data

    @property
    def fastest(self) -> Fraction:
        return max(channel.rate for sensor in self.sensors for channel in sensor.channels)

    @property
    def header_rows(self) -> int:
        return 7 + self.periods

    def text(self, rows: list[list[str]] | None = None) -> str:
        rows = self.rows() if rows is None else rows
        if self.decimal != ".":
            start = 2
            rows = [
                [cell.replace(".", self.decimal) if i >= start else cell for cell in row]
                for i, row in enumerate(rows)
            ]
        if self.pandas:
            width = max(len(row) for row in rows)
            rows = [row + [""] * (width - len(row)) for row in rows]
            first = rows[0][:2] + [f"Unnamed: {i}" for i in range(2, width)]
            rows = [["", *first], *([str(i), *row] for i, row in enumerate(rows[1:]))]
            return self.line_end.join(",".join(row) for row in rows) + self.line_end
        return self.line_end.join(f"{self.delimiter} ".join(row) for row in rows) + self.line_end

    def write(self, path: Path, rows: list[list[str]] | None = None) -> Path:
        data = self.text(rows).encode()
        path.write_bytes((b"\xef\xbb\xbf" if self.bom else b"") + data)
        return path


def opensignals(
    path: Path,
    *,
    sensors: tuple[str, ...] = ("EMG", "XYZ", "XYZ", "XYZ"),
    device: str = "biosignalsplux",
    rate: int = 1000,
    seconds: float = 2.0,
    drop_row: int | None = None,
    **header: object,
) -> Path:
    """Write an OpenSignals file of 16-bit counts; acceleration spans 25000 to 38000 for ±1 g."""
    n = int(seconds * rate)
    t = np.arange(n) / rate
    columns = [np.arange(n) % 128, np.zeros(n)]
    axis = 0
    for sensor in sensors:
        if sensor == "EMG":
            columns.append(np.rint((emg_mv(0)(t) * 1e-3 * 1000 / 3.0 + 0.5) * 2**16))
        elif sensor == "XYZ":
            columns.append(np.rint(25000 + (acc_g(axis)(t) + 1) / 2 * 13000))
            axis += 1
        else:
            columns.append(np.rint(32768 + 1000 * gyro_deg_s(0)(t) / 120))
    channels = [f"CH{i + 1}" for i in range(len(sensors))]
    description = {
        "sensor": list(sensors),
        "device name": "00:07:80:3B:46:61",
        "column": ["nSeq", "DI", *channels],
        "time": "13:17:4.105",
        "device": device,
        "channels": list(range(1, len(sensors) + 1)),
        "sampling rate": rate,
        "label": channels,
        "resolution": [16] * len(sensors),
        "date": "2025-1-29",
        **header,
    }
    lines = [
        "# OpenSignals Text File Format. Version 1",
        "# " + json.dumps({"00:07:80:3B:46:61": description}),
        "# EndOfHeader",
    ]
    table = np.column_stack(columns).astype(int)
    lines += ["\t".join(map(str, row)) + "\t" for i, row in enumerate(table) if i != drop_row]
    path.write_text("\n".join(lines) + "\n")
    return path


def ninapro(
    path: Path, *, electrodes: int = 12, gyro: bool = False, seconds: float = 2.0, **extra: object
) -> Path:
    """Write a NinaPro-like .mat at 2 kHz; electrode k carries sEMG k and IMU shifted by k."""
    from scipy import io

    t = np.arange(int(seconds * 2000)) / 2000.0
    variables: dict[str, object] = {
        "emg": np.column_stack([emg_mv(k)(t) * 1e-3 for k in range(electrodes)]),
        "acc": np.column_stack([acc_g(a, k)(t) for k in range(electrodes) for a in range(3)]),
        "subject": np.array([[7]], dtype=np.uint8),
        "exercise": np.array([[2]], dtype=np.uint8),
    }
    if gyro:
        variables["gyro"] = np.column_stack(
            [gyro_deg_s(a, k)(t) for k in range(electrodes) for a in range(3)]
        )
    variables.update(extra)
    io.savemat(path, {name: value for name, value in variables.items() if value is not None})
    return path


def memory_of_refusal(path: Path) -> tuple[int, str]:
    """Return by how many KiB a process grows that reads `path`, and why it refuses it."""
    code = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "import edfio, pyxdf, scipy.signal, pyarrow.csv, pyarrow.parquet\n"
        "from myowave.errors import RecordingError\n"
        "from myowave.readers import read\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n"
        "    read(Path(sys.argv[1]))\n"
        "except RecordingError as error:\n"
        "    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, error)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    grown_kib, message = run.stdout.split(" ", 1)
    return int(grown_kib), message
