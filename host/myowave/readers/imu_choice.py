"""Which sensor of a file the IMU is taken from, where there may be several."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from myowave.errors import RecordingError
from myowave.imu import IMU_CHANNELS
from myowave.readers.source import ReadOptions

_Channel = TypeVar("_Channel")


def choose_imu(
    path: Path,
    sensors: Mapping[str, Mapping[str, _Channel]],
    options: ReadOptions,
    *,
    held: str,
    spelled: Callable[[str], str] = str,
    remedy: str = "",
) -> list[_Channel]:
    """Return the channels of the one sensor that has acceleration and angular rate on all axes.

    Parameters
    ----------
    path : Path
        Of the file, for messages.
    sensors : mapping of str to mapping
        Of each sensor its channels, by their names in `IMU_CHANNELS`.
    options : ReadOptions
        Whether a sensor is named, and whether acceleration alone will do.
    held : str
        What the file holds, for messages: "columns are 'ACC X (G)', ...".
    spelled : callable
        How the format spells a name of `IMU_CHANNELS`, or "acc" or "gyro".
    remedy : str
        What else helps a file without an IMU.

    Raises
    ------
    RecordingError
        If no sensor has an IMU, none or several have the name asked for, or several have an IMU
        and none is named.
    """
    if options.imu_sensor is not None:
        asked = options.imu_sensor.strip().lower()
        named = {name: axes for name, axes in sensors.items() if asked in _names_of(name)}
        if len(named) != 1:
            raise RecordingError(
                f"{path}: IMU sensor '{options.imu_sensor}' fits {len(named)} sensors, expected "
                f"one of {_quoted(sensors)}"
            )
        sensors = named
    acc = IMU_CHANNELS[:3]
    full = {name: axes for name, axes in sensors.items() if all(c in axes for c in IMU_CHANNELS)}
    half = {name: axes for name, axes in sensors.items() if all(c in axes for c in acc)}
    candidates = full
    wanted: tuple[str, ...] = IMU_CHANNELS
    if not full and half and options.allow_missing_gyro:
        candidates, wanted = half, acc
    if not candidates:
        present = {name for axes in sensors.values() for name in axes}
        missing = [spelled(name) for name in IMU_CHANNELS if name not in present]
        what = ", ".join(missing) or f"{spelled('acc')} and {spelled('gyro')} of one sensor"
        if half:
            remedy = "; allow it with --allow-missing-gyro"
        raise RecordingError(f"{path}: missing channel {what}, {held}{remedy}")
    if len(candidates) > 1:
        raise RecordingError(
            f"{path}: {len(candidates)} sensors with an IMU, choose one with --imu-sensor: "
            f"{_quoted(candidates)}"
        )
    (axes,) = candidates.values()
    return [axes[name] for name in wanted]


def _names_of(sensor: str) -> set[str]:
    """Return what a user may call 'wrist (81457)': that, 'wrist' or '81457'."""
    match = re.fullmatch(r"(.*?)\s*\(([^()]*)\)", sensor)
    names = {sensor, *(match.groups() if match else ())}
    return {name.lower() for name in names if name}


def _quoted(names: Mapping[str, object]) -> str:
    return ", ".join(f"'{name}'" for name in names)
