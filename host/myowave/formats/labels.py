"""What a channel of a foreign file measures, as far as its label, type and unit say so."""

import re

from myowave.formats.table import ChannelKind

# "ACC X", "wrist Acc_X", "Accelerometer-x", "accX (wrist)", "AccelerationX": kind, then axis.
_IMU = re.compile(
    r"(?:^|(?<=[^A-Za-z]))(?P<kind>ACC|ACCEL|ACCELEROMETER|ACCELERATION|GYR|GYRO|GYROSCOPE|"
    r"ANGULAR ?VELOCITY)[ _.:-]*(?P<axis>[XYZ])(?![A-Za-z])",
    re.IGNORECASE,
)
_EMG = re.compile(r"(?:^|(?<=[^A-Za-z]))s?EMG(?![A-Za-z])", re.IGNORECASE)
_AXIS = re.compile(r"(?:^|[^A-Za-z])([XYZ])$", re.IGNORECASE)
_EDGES = " _.:,;-()[]"
_TYPES: dict[str, ChannelKind] = {
    "emg": "emg",
    "semg": "emg",
    "acc": "acc",
    "accel": "acc",
    "accelerometer": "acc",
    "acceleration": "acc",
    "gyr": "gyro",
    "gyro": "gyro",
    "gyroscope": "gyro",
    "angularvelocity": "gyro",
}


def describe(label: str, kind: str = "") -> tuple[ChannelKind, str, str] | None:
    """Return kind, name and sensor of a channel; None where its label does not say enough.

    Parameters
    ----------
    label : str
        As its file has it.
    kind : str
        What the file itself calls its type ("EMG", "ACCEL", "Gyroscope"), where it does.

    Examples
    --------
    >>> describe("EMG biceps")
    ('emg', 'emg biceps', '')
    >>> describe("wrist ACC X")
    ('acc', 'acc_x', 'wrist')
    >>> describe("GyroscopeZ (left)")
    ('gyro', 'gyro_z', 'left')
    >>> describe("x", "ACCEL")
    ('acc', 'acc_x', '')
    >>> describe("EEG Fpz-Cz") is None
    True
    """
    label = " ".join(label.split())
    imu = _IMU.search(label)
    if imu is not None:
        found: ChannelKind = "acc" if imu["kind"].lower().startswith("acc") else "gyro"
        return found, f"{found}_{imu['axis'].lower()}", _without(imu)
    typed = _TYPES.get(kind.strip().lower())
    emg = _EMG.search(label)
    if typed == "emg" or (typed is None and emg is not None):
        muscle = label if emg is None else _without(emg)
        return "emg", f"emg {muscle or 'emg'}", ""
    axis = _AXIS.search(label)
    if typed is not None and axis is not None:
        sensor = label[: axis.start(1)].strip(_EDGES)
        return typed, f"{typed}_{axis[1].lower()}", sensor
    return None


def _without(match: re.Match[str]) -> str:
    """Return what stands around a match."""
    label = match.string
    return f"{label[: match.start()].strip(_EDGES)} {label[match.end() :].strip(_EDGES)}".strip()
