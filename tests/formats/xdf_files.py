"""Writes XDF files by the published specification, for there is no library that does.

github.com/sccn/xdf/wiki/Specifications: after `XDF:` come chunks, each the number of bytes of its
length, its length, a tag, and for those of a stream its number; then the content.
"""

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FORMATS = {"float32": "<f4", "double64": "<f8", "int16": "<i2", "string": ""}
BOUNDARY = bytes.fromhex("43a546dccbf5410fb30ed5467383cbe4")


def number(value: int) -> bytes:
    """A number of variable length."""
    for size, code, limit in ((1, "<B", 1 << 8), (4, "<I", 1 << 32)):
        if value < limit:
            return bytes([size]) + struct.pack(code, value)
    return b"\x08" + struct.pack("<Q", value)


def chunk(tag: int, content: bytes, stream: int | None = None) -> bytes:
    """One chunk."""
    body = struct.pack("<H", tag)
    body += b"" if stream is None else struct.pack("<I", stream)
    return number(len(body) + len(content)) + body + content


class XdfFile:
    """Gathers the chunks of a file."""

    def __init__(self) -> None:
        header = b"<?xml version='1.0'?><info><version>1.0</version>"
        header += b"<datetime>2026-05-04T13:02:01+0200</datetime></info>"
        self.parts = [b"XDF:", chunk(1, header)]

    def stream(  # noqa: PLR0917
        self,
        stream: int,
        name: str,
        kind: str,
        channels: Sequence[tuple[str, str, str]],
        time_s: NDArray[np.float64],
        values: NDArray[np.floating] | Sequence[str],
        *,
        rate_hz: float,
        fmt: str = "float32",
        offsets: Sequence[tuple[float, float]] = (),
        block: int = 50,
        sample_count: int | None = None,
        desc: str = "",
        info: str = "",
    ) -> "XdfFile":
        """Add a stream; each block of samples has one time stamp, as LabRecorder's do."""
        listed = "".join(
            f"<channel><label>{label}</label><unit>{unit}</unit><type>{what}</type></channel>"
            for label, unit, what in channels
        )
        info = info or (
            f"<?xml version='1.0'?><info><name>{name}</name><type>{kind}</type>"
            f"<channel_count>{len(channels)}</channel_count><nominal_srate>{rate_hz}"
            f"</nominal_srate><channel_format>{fmt}</channel_format>"
            f"<desc><channels>{listed}</channels>{desc}</desc></info>"
        )
        self.parts.append(chunk(2, info.encode(), stream))
        for first in range(0, len(time_s), block):
            rows = range(first, min(first + block, len(time_s)))
            body = number(len(rows))
            for row in rows:
                stamped = row == first or rate_hz == 0
                body += b"\x08" + struct.pack("<d", time_s[row]) if stamped else b"\0"
                if isinstance(values, np.ndarray):
                    body += values[row].astype(FORMATS[fmt]).tobytes()
                else:
                    text = values[row].encode()
                    body += number(len(text)) + text
            self.parts.append(chunk(3, body, stream))
        for at_s, offset_s in offsets:
            self.parts.append(chunk(4, struct.pack("<dd", at_s, offset_s), stream))
        self.parts.append(chunk(5, BOUNDARY))
        count = len(time_s) if sample_count is None else sample_count
        footer = f"<?xml version='1.0'?><info><sample_count>{count}</sample_count></info>"
        self.parts.append(chunk(6, footer.encode(), stream))
        return self

    def write(self, path: Path) -> Path:
        path.write_bytes(b"".join(self.parts))
        return path


AXES = "xyz"


def two_clocks(
    *, seconds: float = 4.0, drift: float = 2e-4, apart_s: float = 5000.0, emg_hz: float = 2000.0
) -> XdfFile:
    """An IMU on the recorder's computer and sEMG on another, whose clock is fast and elsewhere.

    The same 3 Hz oscillation is on acc_x, in m/s², and on the sEMG, in mV.
    """
    imu_s = 100.0 + np.arange(int(seconds * 500)) / 500.0
    imu = np.column_stack([wave(imu_s) * (k + 1) + k for k in range(6)])
    true_s = 100.1 + np.arange(int((seconds - 0.2) * emg_hz)) / emg_hz
    theirs_s = apart_s + true_s * (1.0 + drift)
    # What the recorder adds to their time: its own less theirs.
    measured = [(apart_s + at * (1.0 + drift), -apart_s - at * drift) for at in np.arange(100, 105)]
    emg = 1000.0 * wave(true_s)[:, None]
    channels = [(f"acc_{a}", "m/s^2", "ACC") for a in AXES]
    channels += [(f"gyro_{a}", "rad/s", "GYRO") for a in AXES]
    return (
        XdfFile()
        .stream(1, "MyoWave IMU", "IMU", channels, imu_s, imu, rate_hz=500, fmt="double64",
                offsets=[(100.0, 0.0), (104.0, 0.0)])
        .stream(2, "Amplifier", "EMG", [("biceps", "microvolts", "EMG")], theirs_s, emg,
                rate_hz=emg_hz, fmt="double64", offsets=measured)
        .stream(3, "MyoWave markers", "Markers", [("marker", "", "")], np.array([101.0]),
                ["curl 1"], rate_hz=0, fmt="string", offsets=[(100.0, 0.0), (104.0, 0.0)])
        .stream(4, "MyoWave envelope", "EMG", [("biceps", "fraction of reference", "EMG")], imu_s,
                imu[:, :1], rate_hz=500, offsets=[(100.0, 0.0), (104.0, 0.0)])
    )  # fmt: skip


def wave(time_s: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.sin(2 * np.pi * 3.0 * time_s)
