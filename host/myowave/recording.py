"""A recording: IMU and sEMG of one trial on one uniform 1 kHz clock, and its file.

One Parquet file holds the samples as columns and everything else as schema metadata, so that a
recording is a single file any tool of the field's Python stack can open.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myowave.errors import ConfigError, RecordingError
from myowave.files import require_writable, written_whole
from myowave.imu import IMU_CHANNELS

RATE_HZ = 1000
SUFFIX = ".parquet"

_FORMAT_VERSION = 1
_METADATA_KEY = b"myowave.recording"
_MAGIC = b"PAR1"


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

    Raises
    ------
    RecordingError
        If shapes or lengths disagree, a value is not finite, a muscle name is empty or doubled, or
        the provenance cannot be written as JSON. The message names the field.
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

    def __post_init__(self) -> None:
        """Hold every field to the promise the rest of the package builds on."""
        where = f"recording '{self.name}'"
        object.__setattr__(self, "muscles", tuple(self.muscles))
        for name, columns in (("acc", 3), ("gyro", 3), ("emg", len(self.muscles))):
            try:
                values = np.ascontiguousarray(getattr(self, name), dtype=np.float64)
            except (TypeError, ValueError) as error:
                raise RecordingError(f"{where}, field {name}: not numeric ({error})") from None
            object.__setattr__(self, name, values)
            if values.ndim != 2 or values.shape[1] != columns:
                raise RecordingError(
                    f"{where}, field {name}: shape {values.shape}, expected (n, {columns})"
                )
            if values.shape[0] != len(self.acc):
                raise RecordingError(
                    f"{where}, field {name}: {values.shape[0]} samples, expected {len(self.acc)} "
                    "as in acc"
                )
            if not np.all(np.isfinite(values)):
                row, column = (int(i) for i in np.argwhere(~np.isfinite(values))[0])
                raise RecordingError(
                    f"{where}, field {name}: {values[row, column]} at sample {row}, column "
                    f"{column}, expected finite numbers"
                )
        if len(self.acc) == 0:
            raise RecordingError(f"{where}, field acc: no samples")
        if len(set(self.muscles)) != len(self.muscles) or not all(self.muscles):
            raise RecordingError(
                f"{where}, field muscles: {self.muscles}, expected names, each once and not empty"
            )
        for name in ("source_rates_hz", "source_units", "provenance"):
            try:
                json.dumps(getattr(self, name), allow_nan=False)
            except (TypeError, ValueError) as error:
                raise RecordingError(f"{where}, field {name}: not JSON ({error})") from None

    @property
    def n_samples(self) -> int:
        """Number of 1 kHz samples."""
        return int(self.acc.shape[0])

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.n_samples / RATE_HZ


def save(recording: Recording, path: Path) -> None:
    """Write `recording` to `path` as Parquet, whole or not at all; `load` gives it back exactly.

    Missing folders are made. Pages carry checksums, so that a damaged file is refused by `load`.

    Raises
    ------
    ConfigError
        If the file cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    metadata = {
        "format_version": _FORMAT_VERSION,
        "rate_hz": RATE_HZ,
        "units": {"acc": "m/s^2", "gyro": "rad/s", "emg": "mV"},
        "muscles": list(recording.muscles),
        "subject": recording.subject,
        "day": recording.day,
        "name": recording.name,
        "source_rates_hz": recording.source_rates_hz,
        "source_units": recording.source_units,
        "provenance": recording.provenance,
    }
    samples = np.hstack([recording.acc, recording.gyro, recording.emg])
    table = pa.table(
        [np.ascontiguousarray(column) for column in samples.T],
        names=_column_names(recording.muscles),
        metadata={_METADATA_KEY: json.dumps(metadata, ensure_ascii=False).encode()},
    )
    with written_whole(path) as unfinished:
        # Dictionaries do not help sampled signals and double the time to write.
        pq.write_table(
            table, unfinished, compression="zstd", use_dictionary=False, write_page_checksum=True
        )


def load(path: Path) -> Recording:
    """Read a recording written by `save`.

    Raises
    ------
    RecordingError
        If the file is absent, is not a recording, was written by a newer version or is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not is_recording_file(path):
        raise RecordingError(
            f"{path}: not a MyoWave recording (no Parquet file), make one with 'myowave import'"
        )
    try:
        table = pq.read_table(path, page_checksum_verification=True)
        metadata = _parse_metadata(path, table.schema.metadata or {})
        muscles = tuple(metadata["muscles"])
        expected = _column_names(muscles)
        if table.column_names != expected:
            raise RecordingError(f"{path}: columns {table.column_names}, expected {expected}")
        for name in expected:
            if table.column(name).type != pa.float64() or table.column(name).null_count:
                raise RecordingError(
                    f"{path}: column {name} is {table.column(name).type} with "
                    f"{table.column(name).null_count} nulls, expected double without nulls"
                )
        samples = np.empty((table.num_rows, len(expected)))
        for index, name in enumerate(expected):
            samples[:, index] = table.column(name).to_numpy()
        return Recording(
            acc=samples[:, :3],
            gyro=samples[:, 3:6],
            emg=samples[:, 6:],
            muscles=muscles,
            subject=str(metadata["subject"]),
            day=str(metadata["day"]),
            name=str(metadata["name"]),
            source_rates_hz=dict(metadata["source_rates_hz"]),
            source_units=dict(metadata["source_units"]),
            provenance=dict(metadata["provenance"]),
        )
    except RecordingError as error:
        message = str(error)
        raise RecordingError(
            message if message.startswith(str(path)) else f"{path}: {message}"
        ) from None
    except (pa.ArrowException, OSError) as error:
        fault = "what it holds cannot be read" if _has_end(path) else "the file is cut off"
        raise RecordingError(
            f"{path}: damaged recording, {fault}, expected it as 'myowave import' wrote it; make "
            "it again"
        ) from error
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise RecordingError(
            f"{path}: damaged recording, its metadata is not as 'myowave import' wrote it; make it "
            "again"
        ) from error


def require_replaceable(path: Path) -> None:
    """Refuse an output that cannot be written, or that would replace anything but a recording.

    Raises
    ------
    ConfigError
        If `path` is a folder, cannot be written, or is a file `save` did not make.
    """
    require_writable(path)
    if path.exists() and not _has_our_metadata(path):
        raise ConfigError(
            f"{path}: exists and is not a MyoWave recording, so it is not replaced; name another "
            "file with -o, or delete it first"
        )


def _has_our_metadata(path: Path) -> bool:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return is_recording_file(path) and _METADATA_KEY in (pq.read_schema(path).metadata or {})
    except (RecordingError, pa.ArrowException, OSError):
        return False


def is_recording_file(path: Path) -> bool:
    """Tell whether `path` starts as a Parquet file does; raise RecordingError if unreadable."""
    try:
        with path.open("rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError as error:
        raise RecordingError(f"{path}: cannot be read ({error.strerror or error})") from None


def _has_end(path: Path) -> bool:
    """Tell whether a Parquet file ends as one does."""
    return path.read_bytes()[-len(_MAGIC) :] == _MAGIC


def _column_names(muscles: tuple[str, ...]) -> list[str]:
    return [*IMU_CHANNELS, *(f"emg {muscle}" for muscle in muscles)]


def _parse_metadata(path: Path, schema_metadata: dict[bytes, bytes]) -> dict[str, Any]:
    if _METADATA_KEY not in schema_metadata:
        raise RecordingError(
            f"{path}: Parquet without the '{_METADATA_KEY.decode()}' metadata, expected a file "
            "written by 'myowave import' or 'myowave simulate'"
        )
    metadata = json.loads(schema_metadata[_METADATA_KEY])
    if not isinstance(metadata, dict):
        raise RecordingError(f"{path}: metadata is not a JSON object")
    version, rate = metadata.get("format_version"), metadata.get("rate_hz")
    if version != _FORMAT_VERSION:
        raise RecordingError(
            f"{path}: format version {version}, this program reads {_FORMAT_VERSION}"
        )
    if rate != RATE_HZ:
        raise RecordingError(f"{path}: rate {rate} Hz, expected {RATE_HZ}")
    return metadata
