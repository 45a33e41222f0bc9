"""A recording: IMU and sEMG of one trial on one uniform 1 kHz clock, and its file.

One Parquet file holds the samples as columns and everything else as schema metadata, so that a
recording is a single file any tool of the field's Python stack can open.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

RATE_HZ = 1000


@dataclass(frozen=True)
class Recording:
    """Simultaneous IMU and sEMG, uniform at 1 kHz.

    Attributes
    ----------
    acc : (n, 3) float64
        Specific force in m/s².
    gyro : (n, 3) float64
        Angular rate in rad/s.
    emg : (n, m) float64
        Raw sEMG in mV; m may be 0 for IMU-only recordings.
    muscles : tuple of str
        One name a column of `emg`.
    subject, day, name : str
        Who; when (ISO date, "" when unknown); the trial's own name.
    source_rates_hz : dict of str to float
        Rate of each source channel before resampling.
    source_units : dict of str to str
        Unit of each source channel as its file stated it.
    provenance : dict
        JSON-able: source file name and SHA-256, reader, corrections applied (orientation, trims),
        filter delays; `simulated: true` where the data come from the simulation.
    """

    acc: NDArray[np.float64]
    gyro: NDArray[np.float64]
    emg: NDArray[np.float64]
    muscles: tuple[str, ...]
    subject: str
    day: str
    name: str
    source_rates_hz: dict[str, float] = field(default_factory=dict)
    source_units: dict[str, str] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def n_samples(self) -> int:
        """Number of 1 kHz samples."""
        return int(self.acc.shape[0])

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.n_samples / RATE_HZ


def save(recording: Recording, path: Path) -> None:
    """Write `recording` to `path` as Parquet; the round trip through `load` is exact."""
    raise NotImplementedError


def load(path: Path) -> Recording:
    """Read a recording written by `save`; raise RecordingError for any other file."""
    raise NotImplementedError
