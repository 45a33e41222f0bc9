"""From a table of channels, as an exchange format gives it, to a source of one IMU and sEMG."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from myowave.errors import RecordingError
from myowave.formats.table import Channel, Table, carried
from myowave.readers.imu_choice import choose_imu
from myowave.readers.source import Kind, ReadOptions, Signal, Source

_KIND_OF_NAME: dict[str, Kind] = {"acc": "acc", "gyro": "gyro"}


def source_of(table: Table, path: Path, reader: str, options: ReadOptions) -> Source:
    """Choose the IMU and the sEMG of a table.

    Raises
    ------
    RecordingError
        If no sensor has an IMU, several have one and none is named, or there is no sEMG. The
        message names the channels found.
    """
    imu = _choose_imu(path, table, options)
    emg = table.of("emg")
    if not emg and not options.imu_only:
        why = " (a predicted envelope is none)" if table.of("envelope") else ""
        raise RecordingError(
            f"{path}: missing channel EMG{why}, channels are {_listed(table)}; allow it "
            "with --imu-only"
        )
    return Source(
        path=path,
        reader=reader,
        imu=tuple(_signal(channel) for channel in imu),
        emg=tuple(_signal(channel) for channel in emg),
        muscles=_muscles(emg),
        subject=table.subject,
        day=table.day,
        name=table.name,
        timed=table.timed,
        details={
            "start": table.start,
            "imu_sensor": imu[0].sensor,
            "markers": [[one.onset_s, one.words()] for one in table.points()],
            "exported": _brief(table.facts),
        },
        carried=carried(table.facts),
    )


def _brief(facts: dict[str, Any]) -> dict[str, Any]:
    """Return the facts without the model's card, which its digest names."""
    return {key: value for key, value in facts.items() if key != "model_card"}


def _choose_imu(path: Path, table: Table, options: ReadOptions) -> list[Channel]:
    sensors: dict[str, dict[str, Channel]] = {}
    for channel in table.of("acc", "gyro"):
        axes = sensors.setdefault(channel.sensor, {})
        if channel.name in axes:
            raise RecordingError(
                f"{path}: {axes[channel.name].place} and {channel.place} are both "
                f"{channel.name} of sensor '{channel.sensor}', expected one"
            )
        axes[channel.name] = channel
    alone = bool(table.of("envelope")) and not sensors
    return choose_imu(
        path,
        sensors,
        options,
        held=f"channels are {_listed(table)}",
        remedy="; it holds predictions alone, log with --raw" if alone else "",
    )


def _signal(channel: Channel) -> Signal:
    kind = _KIND_OF_NAME.get(channel.kind, "emg")
    return Signal(
        kind=kind,
        label=channel.name,
        sensor=channel.sensor,
        unit=channel.unit,
        rate_hz=channel.rate_hz,
        values=channel.values(),
        place=channel.place or f"channel '{channel.name}'",
        start_s=channel.start_s,
    )


def _muscles(emg: Iterable[Channel]) -> tuple[str, ...]:
    names: list[str] = []
    for channel in emg:
        name = re.sub(r"\s+", " ", channel.muscle).strip() or "emg"
        while name in names:
            name += "'"
        names.append(name)
    return tuple(names)


def _listed(table: Table) -> str:
    """Return the channels of a table, and what was not recognised as one, for a message."""
    found = [f"'{channel.name}' [{channel.unit}]" for channel in table.channels]
    others = [f"'{label}'" for label in table.left_out]
    text = _some(found) or "none of sEMG or IMU"
    return text + (f", not recognised are {_some(others)}" if others else "")


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 24} more" if len(names) > 24 else ""
    return ", ".join(names[:24]) + more
