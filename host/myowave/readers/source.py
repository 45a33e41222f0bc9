"""What every reader hands over: the channels of one source file, before units and resampling."""

import hashlib
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from myowave.errors import RecordingError
from myowave.imu import DEG_RAD, G_M_S2

MAX_VALUES = 64_000_000
"""Most numbers kept of one source file (512 MB): over an hour of a Trigno file of 7 columns."""
MAX_ROWS = MAX_VALUES // 7
"""Most samples a channel may have of 7 such, gaps included: 2.5 hours at 1 kHz."""

_UNITS: dict[str, dict[str, float]] = {
    "acc": {"g": G_M_S2, "mg": 1e-3 * G_M_S2, "m/s^2": 1.0, "m/s²": 1.0, "m/s2": 1.0},
    "gyro": {"deg/s": DEG_RAD, "°/s": DEG_RAD, "dps": DEG_RAD, "rad/s": 1.0},
    "emg": {
        "v": 1e3,
        "mv": 1.0,
        "uv": 1e-3,
        "µv": 1e-3,
        "μv": 1e-3,
        "volts": 1e3,
        "millivolts": 1.0,
        "microvolts": 1e-3,
    },
}


Kind = Literal["acc", "gyro", "emg"]


@dataclass(frozen=True)
class ReadOptions:
    """What a file cannot say, or says in more ways than one.

    Attributes
    ----------
    imu_sensor : str, optional
        Name or serial number of the sensor whose IMU to take, where a file holds several.
    emg_sensors : tuple of str, optional
        Names of the sEMG channels to take, in this order; otherwise all.
    muscles : tuple of str, optional
        New names of the sEMG channels taken; otherwise the sensors' names.
    subject, day, name : str, optional
        Replace what the header or the file name says; `day` is an ISO date.
    date_order : {"auto", "dmy", "mdy"}
        How to read 05/02/2025. "auto" takes what the numbers allow, then day first.
    rate_hz : float, optional
        sEMG rate of a file that does not state it.
    imu_only : bool
        Accept a file without sEMG.
    allow_missing_gyro : bool
        Accept acceleration only; the gyroscope's columns are zeros then.
    allow_short : bool
        Accept channels that end over 10 % before the others, and keep the common span.
    acc_calibration : tuple of (float, float), optional
        OpenSignals: counts of each accelerometer axis at -1 g and at +1 g.
    """

    imu_sensor: str | None = None
    emg_sensors: tuple[str, ...] | None = None
    muscles: tuple[str, ...] | None = None
    subject: str | None = None
    day: str | None = None
    name: str | None = None
    date_order: Literal["auto", "dmy", "mdy"] = "auto"
    rate_hz: float | None = None
    imu_only: bool = False
    allow_missing_gyro: bool = False
    allow_short: bool = False
    acc_calibration: tuple[tuple[float, float], ...] | None = None


@dataclass(frozen=True)
class Signal:
    """One channel as the file holds it.

    Attributes
    ----------
    kind : {"acc", "gyro", "emg"}
        What it measures.
    label, sensor, unit : str
        As the file names them.
    rate_hz : Fraction
        Its own rate.
    values : (n,) float64
        Samples, NaN where the file has none.
    place : str
        Where the channel is in the file, for messages: "column 7 'EMG 1 (mV)'".
    first_row : int
        Row of the first value in the file, counted from 1; 0 where a file has no rows.
    start_s : float
        Time of the first value.
    """

    kind: Kind
    label: str
    sensor: str
    unit: str
    rate_hz: Fraction
    values: NDArray[np.float64]
    place: str
    first_row: int = 0
    start_s: float = 0.0


@dataclass(frozen=True)
class Source:
    """One source file: six IMU signals (or three, without a gyroscope) and any number of sEMG.

    Attributes
    ----------
    path : Path
        The file.
    reader : str
        Name of its format.
    imu : tuple of Signal
        Acceleration x, y, z, then angular rate x, y, z.
    emg, muscles : tuple of Signal, tuple of str
        sEMG and the name of each.
    subject, day, name : str
        As far as the file says; "" otherwise.
    length_s : float or None
        Length its header states.
    timed : bool
        Whether samples have time stamps of their own, so that channels may begin and end apart.
    details : dict
        JSON-able facts of the header, kept in the provenance as the source's.
    carried : dict
        JSON-able facts of an earlier provenance that stay true of the samples, such as `simulated`.
    """

    path: Path
    reader: str
    imu: tuple[Signal, ...]
    emg: tuple[Signal, ...]
    muscles: tuple[str, ...]
    subject: str = ""
    day: str = ""
    name: str = ""
    length_s: float | None = None
    timed: bool = False
    details: dict[str, Any] = field(default_factory=dict)
    carried: dict[str, Any] = field(default_factory=dict)


def unit_factor(path: Path, signal: Signal) -> float:
    """Return what one of the signal's units is in m/s², rad/s or mV."""
    known = _UNITS[signal.kind]
    factor = known.get(signal.unit.strip().lower())
    if factor is None:
        raise RecordingError(
            f"{path}: {signal.place} has the unknown unit '{signal.unit}', expected one of "
            f"{', '.join(known)}"
        )
    return factor


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
