"""Line up a log with an sEMG recording another system made on another computer.

Three ways to find the offset between their clocks: the movement both IMUs felt, in forms that do
not depend on how a sensor sits (magnitudes of acceleration and angular rate); sharp taps both felt;
and, where there is no movement to compare, the predicted envelope against the recorded one. A wrong
offset would spoil all that is built on it without anyone noticing, so each way has to show that the
offset stands far out of chance and of every other offset, and that separate pieces of the session
agree on it; otherwise it is refused. The bounds below leave a wide margin to what unrelated
recordings reach: `tools/bench_align.py` measures both sides.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from myowave.clock import fit_clock
from myowave.envelope import recording_envelope
from myowave.errors import RecordingError
from myowave.imu import IMU_CHANNELS
from myowave.log import LogData
from myowave.offset_search import (
    MAX_DRIFT_PPM,
    MIN_OVERLAP_S,
    Peak,
    TapMatch,
    find_peak,
    find_taps,
    magnitude,
    match_taps,
    whitened,
)
from myowave.readers.source import MAX_ROWS, sha256
from myowave.recording import RATE_HZ, Recording
from myowave.resample import sample_at

Method = Literal["movement", "taps", "envelope"]
METHODS: tuple[Method, ...] = ("movement", "taps", "envelope")

# A network follows the muscle with an error of its own that no correlation tells from an offset:
# 30 to 80 ms where it was measured.
_ENVELOPE_LAG_S = 0.1
_MOVEMENT_HZ = (0.5, 12.0)
_ENVELOPE_HZ = (0.2, 4.0)
_ENVELOPE_AGREE_S = 0.15
_TAP_SECOND = 0.6
_TAP_SHARE = 0.75
# Both ways sure and more than this apart: one of them is wrong.
_CONFLICT_S = 0.05
_REMEDY = "tap both sensors together three times, unevenly, at the begin and at the end"
_LONGEST_FILLED = 20


@dataclass(frozen=True)
class _Bounds:
    """What a correlation has to show before it is believed."""

    correlation: float
    over_noise: float
    over_second: float
    agreeing: float = 0.6
    pieces: int = 3


# Measured by tools/bench_align.py on both sides: what belongs together, and what does not.
_BOUNDS: dict[Method, _Bounds] = {
    "movement": _Bounds(correlation=0.3, over_noise=10.0, over_second=2.5),
    "envelope": _Bounds(correlation=0.3, over_noise=7.0, over_second=2.0),
}


# ---- what of a log can be lined up ---------------------------------------------------------------


@dataclass(frozen=True)
class LogTrack:
    """One run of a log on the board's own 1 kHz clock; time 0 is the run's first sample.

    Attributes
    ----------
    imu : (n, 6) float64 or None
        m/s² and rad/s, bias and mounting put right as the board did; None without raw counts.
    envelope : (n, m) float64
        Predicted, as a fraction of the reference.
    muscles : tuple of str
        One name a column of `envelope`.
    filled : (n,) bool
        Ticks without a sample, interpolated.
    start_unix_s : float
        Time 0 by the clock of the computer that logged.
    envelope_delay_s : float or None
        How much later than the muscle the network was taught to show it, by the model's card; None
        where the log holds none.
    run, runs : int
        Which run of how many, from 1.
    board : dict of str to str
        Board, IMU and calibration, for provenance.
    """

    imu: NDArray[np.float64] | None
    envelope: NDArray[np.float64]
    muscles: tuple[str, ...]
    filled: NDArray[np.bool_]
    start_unix_s: float = 0.0
    envelope_delay_s: float | None = None
    run: int = 1
    runs: int = 1
    board: dict[str, str] = field(default_factory=dict)

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return len(self.envelope) / RATE_HZ


def log_track(log: LogData, run: int | None = None) -> LogTrack:
    """Return one run of a log, counted from 1; the one with most samples unless named.

    Raises
    ------
    RecordingError
        If the log holds no samples, no such run, or another rate than 1 kHz, or hours of the
        run's samples are missing.
    """
    if log.identity is None or log.n_samples == 0:
        raise RecordingError("log without samples: nothing to line up")
    if log.identity.rate_hz != RATE_HZ:
        raise RecordingError(f"log at {log.identity.rate_hz} Hz, expected {RATE_HZ} Hz")
    numbers, sizes = np.unique(log.run, return_counts=True)
    if run is None:
        run = int(np.argmax(sizes)) + 1
    elif not 1 <= run <= len(numbers):
        raise RecordingError(f"no run {run}, the log holds {len(numbers)}")
    rows = log.run == numbers[run - 1]
    tick = log.tick[rows] - log.tick[rows][0]
    n = int(tick[-1]) + 1
    # Every tick takes memory, whether it has a sample or not.
    if n - len(tick) > MAX_ROWS:
        raise RecordingError(
            f"run {run} of the log lacks {(n - len(tick)) / RATE_HZ / 3600:.1f} h of its samples, "
            f"expected at most {MAX_ROWS / RATE_HZ / 3600:.1f} h"
        )
    filled = np.ones(n, dtype=np.bool_)
    has_counts = log.has_counts[rows]
    # A run in which raw counts were switched on late has none at its begin, as in a gap.
    has_imu = bool(has_counts.mean() > 0.5)
    there = tick[has_counts] if has_imu else tick
    filled[there] = False
    lsb = np.repeat([log.identity.acc_lsb_m_s2, log.identity.gyro_lsb_rad_s], 3)
    counts = log.corrected[rows][has_counts] * lsb
    return LogTrack(
        imu=_on_ticks(there, counts, n) if has_imu else None,
        envelope=_on_ticks(tick, log.envelope[rows], n),
        muscles=log.identity.muscles,
        filled=filled,
        start_unix_s=fit_clock(log.device_us[rows], log.host_s[rows]).host_s(
            float(log.device_us[rows][0])
        ),
        envelope_delay_s=_envelope_delay_s(log.card),
        run=run,
        runs=len(numbers),
        board={
            "board": log.identity.board,
            "imu": log.identity.imu,
            "calibration": str(log.identity.calibration or "none"),
        },
    )


def _envelope_delay_s(card: dict[str, Any] | None) -> float | None:
    """Return the delays a model's card states, of its target's filters and asked of the network."""
    target = (card or {}).get("target")
    if not isinstance(target, dict):
        return None
    delays_ms = [target.get(name) for name in ("filter_delay_ms", "delay_ms")]
    if not all(isinstance(delay, int | float) for delay in delays_ms):
        return None
    return 1e-3 * float(sum(delay for delay in delays_ms if delay is not None))


def _on_ticks(ticks: NDArray[np.int64], values: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Return (n, c) values on every tick, interpolated where there are none."""
    everywhere = np.arange(n)
    return np.column_stack([np.interp(everywhere, ticks, column) for column in values.T])


# ---- finding the offset --------------------------------------------------------------------------


@dataclass(frozen=True)
class Alignment:
    """Where a recording lies on a log's clock, and why that is believed.

    Attributes
    ----------
    method : str
        "movement", "taps" or "envelope".
    offset_s : float
        Log time, from the run's first sample, at which the recording begins.
    drift_ppm : float
        How much faster the board's clock runs than the recording's:
        t_log = offset_s + t_recording * (1 + 1e-6 * drift_ppm).
    uncertainty_ms : float
        Of a log time anywhere in the overlap, in 19 of 20 cases.
    drift_uncertainty_ppm : float
        Likewise.
    overlap_s : float
        Length both have in common.
    run, runs : int
        Which run, from 1, of how many the log holds.
    start_unix_s : float
        When the recording began, by the clock of the computer that logged.
    evidence : dict
        Figures of the method, as in `Peak` or `TapMatch`.
    confirmed_by : tuple of str
        Other methods that were sure of the same.
    """

    method: Method
    offset_s: float
    drift_ppm: float
    uncertainty_ms: float
    drift_uncertainty_ppm: float
    overlap_s: float
    run: int
    runs: int
    start_unix_s: float
    evidence: dict[str, Any] = field(default_factory=dict)
    confirmed_by: tuple[str, ...] = ()

    def log_s(self, recording_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return log times of recording times."""
        return self.offset_s + recording_s * (1.0 + 1e-6 * self.drift_ppm)

    def recording_s(self, log_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return recording times of log times."""
        return (log_s - self.offset_s) / (1.0 + 1e-6 * self.drift_ppm)

    def to_json(self) -> dict[str, Any]:
        """Return all figures as JSON-able values."""
        return {**asdict(self), "confirmed_by": list(self.confirmed_by)}


def find_alignment(
    track: LogTrack, recording: Recording, method: Method | None = None
) -> Alignment:
    """Find where a recording lies on a log's clock.

    Parameters
    ----------
    track : LogTrack
        Of the log.
    recording : Recording
        Of the other system.
    method : str, optional
        Only this one; otherwise movement and taps where both have an IMU, else the envelope.

    Raises
    ------
    RecordingError
        If no offset is beyond doubt. The message says what was found, what was needed and what to
        do.
    """
    shortest_s = min(track.duration_s, recording.duration_s)
    if shortest_s < MIN_OVERLAP_S:
        raise RecordingError(
            f"{shortest_s:.1f} s to compare, expected {MIN_OVERLAP_S:g} s at least: so "
            "little fits in many places; record longer"
        )
    ways: dict[Method, Callable[[], Alignment | str]] = {
        "movement": lambda: _by_movement(track, recording),
        "taps": lambda: _by_taps(track, recording),
        "envelope": lambda: _by_envelope(track, recording),
    }
    lacking = _lacking_imu(track, recording)
    if method is not None:
        if lacking and method != "envelope":
            raise RecordingError(f"{lacking}, needed to line up by {method}")
        chosen: tuple[Method, ...] = (method,)
    else:
        chosen = ("envelope",) if lacking else ("movement", "taps")
    found: list[Alignment] = []
    refusals: list[str] = []
    for name in chosen:
        result = ways[name]()
        if isinstance(result, Alignment):
            found.append(result)
        else:
            refusals.append(result)
    if not found:
        because = f" ({lacking})" if lacking and method is None else ""
        raise RecordingError(f"no sure offset{because}: {'; '.join(refusals)}; {_REMEDY}")
    first = found[0]
    for other in found[1:]:
        middle = np.array([0.5 * recording.duration_s])
        apart_s = abs(float((first.log_s(middle) - other.log_s(middle))[0]))
        if apart_s > _CONFLICT_S:
            raise RecordingError(
                f"no sure offset: {first.method} says {first.offset_s:.3f} s and {other.method} "
                f"{other.offset_s:.3f} s, expected the same; choose one with --by"
            )
    return replace(first, confirmed_by=tuple(other.method for other in found[1:]))


def _lacking_imu(track: LogTrack, recording: Recording) -> str:
    """Return why movements cannot be compared, "" when they can."""
    if track.imu is None:
        return "the log holds no raw IMU counts (log with --raw)"
    if not _moves(recording.acc):
        return "the recording holds no acceleration"
    return ""


def _moves(values: NDArray[np.float64]) -> bool:
    """Tell whether (n, c) values are anything but one sample repeated."""
    return bool((values != values[0]).any())


def _by_movement(track: LogTrack, recording: Recording) -> Alignment | str:
    assert track.imu is not None
    pairs = [(track.imu[:, :3], recording.acc), (track.imu[:, 3:], recording.gyro)]
    # A recording may have been taken without a gyroscope.
    features = [
        [whitened(magnitude(values), _MOVEMENT_HZ) for values in pair]
        for pair in pairs
        if all(_moves(values) for values in pair)
    ]
    if not features:
        return "movement: one of both never moved"
    log, other = (np.stack(rows) for rows in zip(*features, strict=True))
    return _judge("movement", find_peak(log, other), track)


def _by_envelope(track: LogTrack, recording: Recording) -> Alignment | str:
    muscles = [muscle for muscle in track.muscles if muscle in recording.muscles]
    if not muscles and len(track.muscles) == len(recording.muscles) == 1:
        # Named differently in both, there is no choice.
        columns = [(0, 0)]
    else:
        columns = [
            (track.muscles.index(muscle), recording.muscles.index(muscle)) for muscle in muscles
        ]
    if not columns:
        return (
            f"envelope: the log's muscles ({', '.join(track.muscles)}) are not the "
            f"recording's ({', '.join(recording.muscles) or 'none'})"
        )
    recorded = recording_envelope(recording).values
    log = np.stack([whitened(track.envelope[:, i], _ENVELOPE_HZ) for i, _ in columns])
    other = np.stack([whitened(recorded[:, j], _ENVELOPE_HZ) for _, j in columns])
    peak = find_peak(log, other, _ENVELOPE_AGREE_S)
    delay_s = track.envelope_delay_s or 0.0
    if peak is not None:
        peak = replace(peak, offset_s=peak.offset_s - delay_s, second_s=peak.second_s - delay_s)
    return _judge("envelope", peak, track)


def _judge(method: Method, peak: Peak | None, track: LogTrack) -> Alignment | str:
    """Return the alignment a peak stands for, or why it is not believed."""
    if peak is None:
        return f"{method}: one of both never moved"
    bounds = _BOUNDS[method]
    needed_pieces = max(bounds.pieces, int(np.ceil(bounds.agreeing * peak.pieces)))
    sure = (
        peak.correlation >= bounds.correlation
        and peak.over_noise >= bounds.over_noise
        and peak.over_second >= bounds.over_second
        and peak.agreeing >= needed_pieces
    )
    if not sure:
        what = f"{method}: best at {peak.offset_s:.2f} s"
        if peak.over_noise >= bounds.over_noise and peak.over_second < bounds.over_second:
            what += f", nearly as good at {peak.second_s:.2f} s (movement that repeats itself)"
        return (
            f"{what}, correlation {peak.correlation:.2f} (needed {bounds.correlation:g}), "
            f"{peak.over_noise:.1f} times the noise (needed {bounds.over_noise:g}), "
            f"{peak.over_second:.2f} times the next best (needed {bounds.over_second:g}), "
            f"{peak.agreeing} of {peak.pieces} pieces agree (needed {needed_pieces})"
        )
    if peak.least_drift_ppm > MAX_DRIFT_PPM:
        return (
            f"{method}: the clocks drift apart by {peak.least_drift_ppm:.0f} ppm or more (needed "
            f"{MAX_DRIFT_PPM:g} at most, as between crystals)"
        )
    uncertainty_s = peak.uncertainty_s + (_ENVELOPE_LAG_S if method == "envelope" else 0.0)
    evidence = {
        "correlation": peak.correlation,
        "over_noise": peak.over_noise,
        "over_second": peak.over_second,
        "second_offset_s": peak.second_s,
        "pieces": peak.pieces,
        "agreeing": peak.agreeing,
    }
    return _alignment(method, peak, uncertainty_s, track, evidence)


def _by_taps(track: LogTrack, recording: Recording) -> Alignment | str:
    assert track.imu is not None
    log_taps = find_taps(track.imu[:, :3])
    other_taps = find_taps(recording.acc)
    held = f"taps: {len(log_taps)} in the log and {len(other_taps)} in the recording"
    match = match_taps(log_taps, other_taps, track.duration_s, recording.duration_s)
    if match is None:
        return f"{held}, nowhere three that coincide"
    groups = [size for size in match.groups if size >= 3]
    share = match.matched / max(1, min(match.taps))
    sure = (
        len(groups) >= 2
        and match.second <= _TAP_SECOND * match.matched
        and share >= _TAP_SHARE
        and match.overlap_s >= MIN_OVERLAP_S
    )
    if not sure:
        return (
            f"{held}, at best {match.matched} coincide in {len(groups)} groups of three or more "
            f"(needed two groups), elsewhere {match.second} (needed at most "
            f"{int(_TAP_SECOND * match.matched)}), {100 * share:.0f} % of the taps (needed "
            f"{100 * _TAP_SHARE:.0f} %)"
        )
    evidence = {
        "matched": match.matched,
        "second": match.second,
        "groups": list(match.groups),
        "taps_log": match.taps[0],
        "taps_recording": match.taps[1],
    }
    return _alignment("taps", match, match.uncertainty_s, track, evidence)


def _alignment(
    method: Method,
    found: Peak | TapMatch,
    uncertainty_s: float,
    track: LogTrack,
    evidence: dict[str, Any],
) -> Alignment:
    return Alignment(
        method=method,
        offset_s=float(found.offset_s),
        drift_ppm=found.drift_ppm,
        uncertainty_ms=1000.0 * uncertainty_s,
        drift_uncertainty_ppm=found.drift_uncertainty_ppm,
        overlap_s=float(found.overlap_s),
        run=track.run,
        runs=track.runs,
        start_unix_s=track.start_unix_s + float(found.offset_s),
        evidence=evidence,
    )


# ---- the recording on the log's clock ------------------------------------------------------------


def aligned_recording(
    track: LogTrack, recording: Recording, alignment: Alignment, log_file: Path
) -> Recording:
    """Return the board's own IMU with the other system's sEMG, on the board's clock.

    Gaps of the log of up to 20 ms are interpolated; of what longer ones leave the longest stretch
    is taken. The recording's own IMU is not in it.

    Raises
    ------
    RecordingError
        If the log holds no raw counts, or the recording no sEMG.
    """
    if track.imu is None:
        raise RecordingError(
            f"{log_file}: no raw IMU counts to write beside the sEMG; log with --raw"
        )
    if not recording.muscles:
        raise RecordingError(f"recording '{recording.name}': no sEMG to write beside the IMU")
    times_s = np.arange(len(track.imu)) / RATE_HZ
    positions = alignment.recording_s(times_s) * RATE_HZ
    within = (positions >= 0.0) & (positions <= recording.n_samples - 1)
    usable = within & ~_long_gaps(track.filled)
    begin, end = _longest_stretch(usable)
    if end - begin < RATE_HZ:
        raise RecordingError(
            f"{log_file}: no second without a gap in common with '{recording.name}'"
        )
    part = slice(begin, end)
    rates = {name: float(RATE_HZ) for name in IMU_CHANNELS}
    units = dict.fromkeys(IMU_CHANNELS[:3], "m/s²") | dict.fromkeys(IMU_CHANNELS[3:], "rad/s")
    emg = {name for name in recording.source_rates_hz if name.startswith("emg")}
    kept: dict[str, Any] = {
        key: recording.provenance[key]
        for key in ("simulated", "recorded")
        if key in recording.provenance
    }
    return Recording(
        acc=track.imu[part, :3],
        gyro=track.imu[part, 3:],
        emg=sample_at(recording.emg, positions[part]),
        muscles=recording.muscles,
        subject=recording.subject,
        day=recording.day,
        name=recording.name,
        source_rates_hz=rates | {name: recording.source_rates_hz[name] for name in emg},
        source_units=units
        | {name: unit for name, unit in recording.source_units.items() if name.startswith("emg")},
        provenance={
            **kept,
            "aligned": {
                "log": log_file.name,
                "log_sha256": sha256(log_file),
                **track.board,
                "log_begin_s": begin / RATE_HZ,
                "interpolated_samples": int(track.filled[part].sum()),
                **alignment.to_json(),
                "recording": recording.provenance,
            },
        },
    )


def _long_gaps(filled: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return where ticks are interpolated over more than _LONGEST_FILLED samples."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], filled, [False]]).astype(np.int8)))
    long = np.zeros_like(filled)
    for begin, end in edges.reshape(-1, 2):
        long[begin:end] = end - begin > _LONGEST_FILLED
    return long


def _longest_stretch(usable: NDArray[np.bool_]) -> tuple[int, int]:
    """Return begin and end of the longest run of True; (0, 0) without one."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], usable, [False]]).astype(np.int8)))
    stretches = edges.reshape(-1, 2)
    if len(stretches) == 0:
        return 0, 0
    begin, end = stretches[np.argmax(stretches[:, 1] - stretches[:, 0])]
    return int(begin), int(end)
