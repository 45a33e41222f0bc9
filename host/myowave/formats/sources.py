"""Tables of what is exported: a log, its runs placed on one time axis, or a recording."""

import math
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from myowave.clock import ClockFit, fit_log
from myowave.errors import RecordingError
from myowave.formats.table import (
    UNITS,
    Annotation,
    Channel,
    Table,
    iso_utc,
    spans_of,
)
from myowave.imu import IMU_CHANNELS
from myowave.log import MAGIC, LogData, read_log
from myowave.readers.source import MAX_ROWS, sha256
from myowave.recording import RATE_HZ, Recording, is_recording_file, load

T = TypeVar("T")
_SAME_ROW = 1e-6  # of a row: 0.007 s times 1000 is a little more than 7


def load_table(
    path: Path,
    *,
    run: int | None = None,
    begin_s: float = 0.0,
    end_s: float = math.inf,
    subject: str = "",
    day: str = "",
    name: str = "",
) -> Table:
    """Return the table of a log or a recording file.

    Parameters
    ----------
    path : Path
        Made by `myowave log`, `monitor`, `import` or `simulate`.
    run : int, optional
        Take this run of a log only, counted from 1: a board that was started anew begins one.
    begin_s, end_s : float
        Take what lies between only, the end excluded, in seconds since the first sample.
    subject, day, name : str
        Replace what the file says; a log says the day only.

    Raises
    ------
    RecordingError
        If the file is neither, or is damaged, or a log has no samples, no identity, no such run,
        or is longer than a file can hold, or there is nothing between begin and end.
    """
    if _is_log(path):
        table = table_of_log(read_log(path), path, run=run, begin_s=begin_s, end_s=end_s)
    elif is_recording_file(path):
        if run is not None:
            raise RecordingError(f"{path}: a recording has no runs; --run is for logs")
        table = table_of_recording(_part_of_recording(load(path), path, begin_s, end_s))
    else:
        raise RecordingError(
            f"{path}: neither a log nor a recording, expected a file of 'myowave log' or 'myowave "
            "import'"
        )
    return replace(
        table,
        subject=subject or table.subject,
        day=day or table.day,
        name=name or table.name,
    )


def table_of_recording(recording: Recording) -> Table:
    """Return a recording as a table; its channels are views of the recording's samples."""
    imu = np.hstack([recording.acc, recording.gyro])
    # Zeros that stand for a sensor that was not there are no measurement.
    n_imu = 3 if recording.provenance.get("missing_gyro") else 6
    channels = [_imu_channel(index, imu[:, index]) for index in range(n_imu)]
    for index, muscle in enumerate(recording.muscles):
        channels.append(Channel("emg", f"emg {muscle}", recording.emg[:, index], UNITS["emg"]))
    return Table(
        channels=tuple(channels),
        subject=recording.subject,
        day=recording.day,
        name=recording.name,
        facts={"provenance": recording.provenance},
    )


def table_of_log(
    log: LogData,
    path: Path,
    *,
    run: int | None = None,
    begin_s: float = 0.0,
    end_s: float = math.inf,
) -> Table:
    """Return a log as a table, or a part of one; raises as `load_table` does.

    Raw counts are those read, before the board's calibration, which is among the facts. Samples
    lie on the grid of the board's clock: one step a tick. Runs lie where the host's clock
    has them, and so do markers and notes, put right by the drift between both.
    """
    identity = log.identity
    if identity is None or log.n_samples == 0:
        what = "no samples" if log.n_samples == 0 else "no identity of a board"
        raise RecordingError(f"{path}: the log holds {what}, so there is nothing to export")
    fits = fit_log(log)
    runs = sorted(fits)
    if run is not None and not 1 <= run <= len(runs):
        raise RecordingError(f"{path}: no run {run}, the log holds {len(runs)}")
    if identity.rate_hz != RATE_HZ:
        raise RecordingError(f"{path}: {identity.rate_hz} Hz, expected {RATE_HZ} Hz")
    chosen = runs if run is None else [runs[run - 1]]
    axis = _Axis(log, fits, chosen)
    if begin_s > 0.0 or end_s < math.inf:
        log = _part_of_log(log, path, axis, begin_s, end_s)
        axis = _Axis(log, fits, np.unique(log.run).tolist())
    if axis.n_rows > MAX_ROWS:
        one_run = "one run with --run N, or " if len(axis.runs) > 1 else ""
        raise RecordingError(
            f"{path}: {axis.n_rows / RATE_HZ / 3600:.1f} h in {len(axis.runs)} runs, expected at "
            f"most {MAX_ROWS / RATE_HZ / 3600:.1f} h in one file; export {one_run}parts with "
            "--begin and --end"
        )
    rows = np.flatnonzero(np.isin(log.run, axis.runs))
    at = axis.row_of[rows]

    def placed(values: NDArray[Any], where: NDArray[np.bool_]) -> NDArray[Any]:
        out = np.zeros(axis.n_rows, dtype=values.dtype)
        out[at[where]] = values[rows[where]]
        return out

    everywhere = np.ones(len(rows), dtype=bool)
    present = placed(np.ones(log.n_samples, dtype=bool), everywhere)
    if log.predictions.shape[1] != len(identity.muscles):
        raise RecordingError(
            f"{path}: {log.predictions.shape[1]} outputs a sample, but the board names "
            f"{len(identity.muscles)} muscles; the log is of two models"
        )
    has_counts = log.has_counts[rows]
    channels = []
    if has_counts.any():
        counted = placed(log.has_counts, everywhere)
        lsb = (identity.acc_lsb_m_s2, identity.gyro_lsb_rad_s)
        channels += [
            _imu_channel(i, placed(log.counts[:, i], has_counts), lsb[i // 3], counted)
            for i in range(6)
        ]
    channels += [
        Channel(
            "envelope",
            f"envelope {muscle}",
            placed(log.predictions[:, index].astype(np.int16), everywhere),
            UNITS["envelope"],
            identity.output_scale,
            identity.output_zero_point,
            _unless_all(present),
        )
        for index, muscle in enumerate(_distinct(identity.muscles))
    ]
    start_s = axis.start_s
    annotations = [
        *spans_of(placed(log.warm_up, everywhere), "warm-up"),
        *(Annotation(axis.at(host_s), 0.0, "marker", label) for host_s, label in log.markers),
        *(Annotation(axis.at(host_s), 0.0, "note", text) for host_s, text in log.notes),
        *(Annotation(axis.at(host_s), 0.0, "board", text) for host_s, text in log.texts),
        *(
            Annotation(axis.at(host_s), 0.0, "event", str(event["event"]))
            for host_s, event in log.events
            if event.get("event") in ("lost", "resumed")
        ),
    ]
    facts: dict[str, Any] = {
        "source": {
            **{"file": path.name, "sha256": sha256(path), "run": run, "begin_s": begin_s},
            "end_s": end_s if end_s < math.inf else None,
        },
        "board": identity.board,
        "firmware": identity.firmware,
        "imu": identity.imu,
        "model_sha256": identity.model_sha256,
        "receptive_field": identity.receptive_field,
        "calibration": None if identity.calibration is None else asdict(identity.calibration),
        "raw_counts": bool(has_counts.any()),
        "clock": [
            {
                "run": runs.index(number) + 1,
                "start_s": begin / RATE_HZ,
                "host_start": iso_utc(axis.host_s[number]),
                **fits[number].to_json(),
            }
            for number, begin in zip(axis.runs, axis.begins, strict=True)
        ],
        "lost_frames": log.lost_frames,
        "damaged_records": log.damaged_records,
    }
    if log.card is not None:
        facts |= _of_card(log.card)
    return Table(
        channels=tuple(channels),
        annotations=tuple(sorted(annotations)),
        day=iso_utc(start_s)[:10],
        name=path.stem,
        start_s=start_s,
        facts=facts,
    )


def _part_of_recording(recording: Recording, path: Path, begin_s: float, end_s: float) -> Recording:
    first = math.ceil(begin_s * RATE_HZ - _SAME_ROW)
    last = math.ceil(min(end_s * RATE_HZ, recording.n_samples) - _SAME_ROW)
    if first >= last:
        raise _nothing_between(path, recording.duration_s, begin_s, end_s)
    if (first, last) == (0, recording.n_samples):
        return recording
    rows = slice(first, last)
    return replace(
        recording,
        acc=recording.acc[rows],
        gyro=recording.gyro[rows],
        emg=recording.emg[rows],
        provenance={**recording.provenance, "part_s": [first / RATE_HZ, last / RATE_HZ]},
    )


def _part_of_log(log: LogData, path: Path, axis: "_Axis", begin_s: float, end_s: float) -> LogData:
    """Return what a log holds on an axis between two times."""
    first, last = (RATE_HZ * edge_s - _SAME_ROW for edge_s in (begin_s, end_s))
    rows = np.isin(log.run, axis.runs) & (axis.row_of >= first) & (axis.row_of < last)
    if not rows.any():
        raise _nothing_between(path, axis.n_rows / RATE_HZ, begin_s, end_s)

    def between(told: list[tuple[float, T]]) -> list[tuple[float, T]]:
        return [one for one in told if begin_s <= axis.at(one[0]) < end_s]

    return replace(
        log,
        run=log.run[rows],
        tick=log.tick[rows],
        device_us=log.device_us[rows],
        host_s=log.host_s[rows],
        predictions=log.predictions[rows],
        warm_up=log.warm_up[rows],
        missing=log.missing[rows],
        counts=log.counts[rows],
        has_counts=log.has_counts[rows],
        corrected=log.corrected[rows],
        statistics=between(log.statistics),
        events=between(log.events),
        markers=between(log.markers),
        notes=between(log.notes),
        texts=between(log.texts),
    )


def _nothing_between(path: Path, length_s: float, begin_s: float, end_s: float) -> RecordingError:
    until = f"to {end_s:g} s" if end_s < math.inf else "s on"
    return RecordingError(f"{path}: {length_s:.3f} s long, nothing from {begin_s:g} {until}")


def _distinct(muscles: Iterable[str]) -> list[str]:
    """Return names that are neither empty nor there twice, as columns must be."""
    names: list[str] = []
    for number, muscle in enumerate(muscles, 1):
        name = muscle.strip() or "muscle"
        while name in names:
            name = f"{name} {number}"
        names.append(name)
    return names


def _of_card(card: dict[str, Any]) -> dict[str, Any]:
    """Return the card and, where formats have no room for it, what a reader of curves must know."""
    parts = (card.get(key) for key in ("target", "training"))
    target, training = (part if isinstance(part, dict) else {} for part in parts)
    return {
        "model": str(card.get("name", "")),
        "model_simulated": bool(training.get("simulated", False)),
        "filter_delay_ms": target.get("filter_delay_ms"),
        "prediction_delay_ms": target.get("delay_ms"),
        "model_card": card,
    }


def _is_log(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)).startswith(MAGIC.rpartition(b"-")[0])
    except OSError as error:
        raise RecordingError(f"{path}: cannot be read ({error.strerror or error})") from None


class _Axis:
    """Where each sample of a log stands: runs one after the other, as far apart as they were.

    Attributes
    ----------
    runs, begins : list of int
        Numbers of the runs, and the row at which each begins.
    host_s : dict of int to float
        Host time of each run's first sample.
    row_of : (n,) int64
        Row of each sample of the log, of these runs.
    n_rows : int
    """

    def __init__(self, log: LogData, fits: dict[int, ClockFit], runs: list[int]) -> None:
        self.runs = runs
        self._fits = fits
        self.row_of = np.zeros(log.n_samples, dtype=np.int64)
        self.begins: list[int] = []
        self.host_s: dict[int, float] = {}
        self.n_rows = 0
        for number in runs:
            rows = np.flatnonzero(log.run == number)
            ticks = log.tick[rows]
            self.host_s[number] = float(fits[number].host_s(float(log.device_us[rows[0]])))
            since = round((self.host_s[number] - self.host_s[runs[0]]) * RATE_HZ)
            # Runs never overlap, even where a clock was set or a run is too short to fit well.
            begin = max(self.n_rows, since)
            self.begins.append(begin)
            self.row_of[rows] = begin + ticks - ticks[0]
            self.n_rows = begin + int(ticks[-1] - ticks[0]) + 1

    @property
    def start_s(self) -> float:
        """Host time of the first row."""
        return self.host_s[self.runs[0]]

    def at(self, host_s: float) -> float:
        """Return the time on the axis of a moment of the host's clock."""
        begun = [i for i, number in enumerate(self.runs) if self.host_s[number] <= host_s]
        index = begun[-1] if begun else 0
        number = self.runs[index]
        device_s = (host_s - self.host_s[number]) * (1.0 + 1e-6 * self._fits[number].drift_ppm)
        return round(self.begins[index] / RATE_HZ + device_s, 6)


def _imu_channel(
    index: int,
    samples: NDArray[Any],
    lsb: float = 1.0,
    present: NDArray[np.bool_] | None = None,
) -> Channel:
    kind = "acc" if index < 3 else "gyro"
    return Channel(
        "acc" if index < 3 else "gyro",
        IMU_CHANNELS[index],
        samples,
        UNITS[kind],
        lsb,
        present=None if present is None else _unless_all(present),
    )


def _unless_all(present: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    return None if present.all() else present
