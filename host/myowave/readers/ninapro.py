"""Reader of the NinaPro databases' `.mat` files that hold raw sEMG with acceleration.

Files do not name their database, but their variables tell: DB2, DB3, DB6, DB7 and DB8 have three
acceleration columns an electrode (Delsys Trigno) and everything brought to 2 kHz; DB7 and DB8 have
angular rate too. sEMG is in V, acceleration in g, angular rate in °/s (Atzori et al., Sci. Data 1,
2014; Krasoulis et al., J. NeuroEng. Rehabil. 14, 2017; the databases' read-me files). DB5's Myo
armband gives sEMG in counts of no stated size, DB1's electrodes a rectified signal: neither is raw
sEMG in mV, and both are refused.
"""

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myowave.errors import RecordingError
from myowave.readers.source import MAX_VALUES, Kind, ReadOptions, Signal, Source

NAME = "ninapro"

_RATE_HZ = 2000
_MAGIC = b"MATLAB 5.0 MAT-file"
_VARIABLES = ("emg", "acc", "gyro", "subject", "exercise")
# Electrode placement of DB2, DB3 and DB7 (Atzori et al. 2014, figure 2).
_TWELVE = (
    *(f"forearm {number}" for number in range(1, 9)),
    "flexor digitorum",
    "extensor digitorum",
    "biceps",
    "triceps",
)


def matches(head: bytes) -> bool:
    """Tell whether the first bytes of a file are a MATLAB file."""
    return head.startswith(b"MATLAB ")


def read_source(path: Path, head: bytes, options: ReadOptions) -> Source:
    """Read a NinaPro `.mat`; `head` is its first bytes.

    Raises
    ------
    RecordingError
        As `readers.read` states, and for databases without raw sEMG or acceleration.
    """
    if not head.startswith(_MAGIC):
        raise RecordingError(
            f"{path}: MATLAB file of another version, expected '{_MAGIC.decode()}' as NinaPro's"
        )
    variables = _load(path)
    emg, acc = _matrix(path, variables, "emg"), _matrix(path, variables, "acc")
    gyro = _matrix(path, variables, "gyro") if "gyro" in variables else None
    electrodes = emg.shape[1]
    if acc.shape[1] != 3 * electrodes:
        raise RecordingError(
            f"{path}: variable acc has {acc.shape[1]} columns for {electrodes} sEMG channels, "
            "expected 3 a channel as in DB2, DB3, DB6, DB7, DB8; others (DB1, DB4, DB5) hold no "
            "acceleration or no sEMG in V"
        )
    for name, values in (("acc", acc), ("gyro", gyro)):
        if values is not None and len(values) != len(emg):
            raise RecordingError(
                f"{path}: variable {name} has {len(values)} rows, expected {len(emg)} as emg"
            )
    if gyro is not None and gyro.shape[1] != 3 * electrodes:
        raise RecordingError(
            f"{path}: variable gyro has {gyro.shape[1]} columns, expected {3 * electrodes}"
        )
    if gyro is None and not options.allow_missing_gyro:
        raise RecordingError(
            f"{path}: missing channel gyro (acceleration only); allow it with --allow-missing-gyro"
        )
    names = _TWELVE if electrodes == 12 else tuple(f"electrode {i + 1}" for i in range(electrodes))
    chosen = _choose_imu(path, names, options)

    rate = Fraction(_RATE_HZ)
    if options.rate_hz is not None:
        rate = Fraction(options.rate_hz).limit_denominator(1_000_000)

    def signal(
        kind: Kind, unit: str, name: str, values: NDArray[np.float64], column: int
    ) -> Signal:
        return Signal(
            kind=kind,
            label=f"{name}(:,{column + 1})",
            sensor=names[column // 3 if kind != "emg" else column],
            unit=unit,
            rate_hz=rate,
            values=values[:, column],
            place=f"variable {name}, column {column + 1}",
        )

    imu = [signal("acc", "g", "acc", acc, 3 * chosen + axis) for axis in range(3)]
    if gyro is not None:
        imu += [signal("gyro", "deg/s", "gyro", gyro, 3 * chosen + axis) for axis in range(3)]
    subject = _scalar(variables, "subject")
    exercise = _scalar(variables, "exercise")
    return Source(
        path=path,
        reader=NAME,
        imu=tuple(imu),
        emg=tuple(signal("emg", "V", "emg", emg, column) for column in range(electrodes)),
        muscles=names,
        subject=f"S{subject}" if subject else "",
        details={"imu_sensor": names[chosen], "exercise": exercise},
    )


def _load(path: Path) -> dict[str, Any]:
    """Load the variables of interest, once their sizes are known to be bearable."""
    from scipy import io

    try:
        shapes = {name: shape for name, shape, _ in io.whosmat(str(path))}
        wanted = [name for name in _VARIABLES if name in shapes]
        size = sum(int(np.prod(shapes[name], dtype=np.int64)) for name in wanted)
        if size > MAX_VALUES:
            raise RecordingError(
                f"{path}: {size} values, the most one recording may have is {MAX_VALUES}"
            )
        loaded: dict[str, Any] = io.loadmat(str(path), variable_names=wanted)
    except RecordingError:
        raise
    except Exception as error:  # scipy raises nearly anything at a damaged file
        raise RecordingError(f"{path}: damaged MATLAB file ({error})") from None
    return loaded


def _matrix(path: Path, variables: dict[str, Any], name: str) -> NDArray[np.float64]:
    if name not in variables:
        found = ", ".join(key for key in variables if not key.startswith("__"))
        raise RecordingError(
            f"{path}: missing channel {name} (variables found: {found or 'none'}), expected a "
            "NinaPro file with emg and acc"
        )
    values = np.asarray(variables[name])
    if values.ndim != 2 or values.dtype.kind not in "fiu" or values.shape[1] == 0:
        raise RecordingError(
            f"{path}: variable {name} is {values.dtype} {values.shape}, expected a numeric matrix"
        )
    matrix = values.astype(np.float64)
    if np.isinf(matrix).any():
        row = int(np.argwhere(np.isinf(matrix))[0][0])
        raise RecordingError(f"{path}: variable {name}, sample {row}: infinite")
    return matrix


def _choose_imu(path: Path, names: tuple[str, ...], options: ReadOptions) -> int:
    if options.imu_sensor is None:
        raise RecordingError(
            f"{path}: {len(names)} sensors with an IMU, choose one with --imu-sensor: "
            + ", ".join(f"'{name}'" for name in names)
        )
    asked = options.imu_sensor.strip().lower()
    for index, name in enumerate(names):
        if asked in (name, str(index + 1)):
            return index
    raise RecordingError(
        f"{path}: no IMU sensor '{options.imu_sensor}', expected a number from 1 to {len(names)} "
        "or one of " + ", ".join(f"'{name}'" for name in names)
    )


def _scalar(variables: dict[str, Any], name: str) -> str:
    values = np.asarray(variables.get(name, [])).ravel()
    if len(values) != 1 or values.dtype.kind not in "fiu" or not np.isfinite(values[0]):
        return ""
    return str(int(values[0]))
