"""How good a recording is: clipping, low-frequency artifacts, mains hum, dropouts; a verdict."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from myowave.imu import DEG_RAD, G_M_S2
from myowave.orientation import Orientation, OrientationReference, estimate
from myowave.recording import RATE_HZ, Recording

Verdict = Literal["ok", "artifact", "exclude"]

# Thresholds of the verdict. Power below 20 Hz is what the envelope's band-pass removes: a third of
# it gone means that the rest is not to be trusted either.
MAX_BELOW_20HZ = 0.30
EXCLUDE_RAIL = 0.10
MAX_HUM = 0.10
MAX_HOLD_MS = 50.0
EXCLUDE_HOLD_MS = 1000.0
MAX_GRAVITY_ERROR = 0.10
EXCLUDE_GRAVITY_ERROR = 0.30

# Ranges inertial sensors are made with, in m/s² and rad/s.
_IMU_RANGES = {
    "acc": tuple(g * G_M_S2 for g in (2, 4, 8, 16)),
    "gyro": tuple(rate * DEG_RAD for rate in (125, 250, 500, 1000, 2000)),
}
_REST_WINDOW_S = 0.5
_REST_SHARE = 0.05
# Trigno Avanti sensors digitize ±5.5 mV or ±11 mV (Delsys, Trigno Avanti specifications).
_KNOWN_RANGES_MV = (5.5, 11.0)
_RAIL_BAND = 0.985
_WELCH_S = 1.9
_HUM_HALF_WIDTH_HZ = 1.0


@dataclass(frozen=True)
class EmgQuality:
    """What can be said of one raw sEMG signal at its own rate.

    Attributes
    ----------
    abs_max_mv : float
        Largest absolute value.
    rail_fraction : float
        Share of samples on the rail of the amplifier; 0 where no rail was reached.
    below_20hz_power : float
        Share of power below 20 Hz: movement artifacts, lifted electrodes.
    above_450hz_power : float
        Share of power above 450 Hz, which a 1 kHz recording does not keep.
    hum_50hz, hum_60hz : float
        Share of power within 1 Hz of the mains frequency and its harmonics up to 300 Hz, over
        what the bands beside them hold.
    longest_hold_ms : float
        Longest run of one repeated value off the rail: samples lost on the radio link.
    """

    abs_max_mv: float
    rail_fraction: float
    below_20hz_power: float
    above_450hz_power: float
    hum_50hz: float
    hum_60hz: float
    longest_hold_ms: float


def emg_quality(emg_mv: NDArray[np.float64], rate_hz: float) -> EmgQuality:
    """Measure one raw sEMG signal, (n,) in mV, at the rate it was recorded at."""
    # 4096 samples at the Trigno's 2148 Hz.
    length = 1 << round(np.log2(_WELCH_S * rate_hz))
    frequency_hz, power = power_density(emg_mv, rate_hz, length)
    total = float(power.sum()) or 1.0
    on_rail = rail_mask(emg_mv)
    return EmgQuality(
        abs_max_mv=float(np.max(np.abs(emg_mv))),
        rail_fraction=float(np.mean(on_rail)),
        below_20hz_power=float(power[frequency_hz < 20.0].sum()) / total,
        above_450hz_power=float(power[frequency_hz > 450.0].sum()) / total,
        hum_50hz=_hum(frequency_hz, power, 50.0),
        hum_60hz=_hum(frequency_hz, power, 60.0),
        longest_hold_ms=1000.0 * _longest_hold(emg_mv, on_rail) / rate_hz,
    )


def power_density(
    values: NDArray[np.float64], rate_hz: float, length: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return frequencies and one-sided power density of (n,) `values` by Welch's method.

    Hann windows of `length` samples overlap by half, the mean of each is taken off; the figures are
    those of `scipy.signal.welch`, whose import would take longer than reading a recording.
    """
    length = min(length, len(values))
    starts = range(0, len(values) - length + 1, max(1, length - length // 2))
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)
    power = np.zeros(length // 2 + 1)
    for start in starts:
        piece = values[start : start + length]
        power += np.abs(np.fft.rfft((piece - piece.mean()) * window)) ** 2
    power /= len(starts) * rate_hz * np.sum(window**2)
    power[1 : (length + 1) // 2] *= 2.0
    frequency_hz = np.arange(len(power), dtype=np.float64) * (rate_hz / length)
    return np.asarray(frequency_hz, dtype=np.float64), power


def rail_mask(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Mark the samples, (n,), that sit on the amplifier's rail.

    The rail is not known beforehand, and filters in the sensor blur it by about 1 %. But a clipped
    signal piles up at its extreme: the last 1.5 % below it hold many times more samples than the
    1.5 % before, where an unclipped one has fewer or, at worst (the crest of a sine wave), twice as
    many. An extreme at the end of a known range needs less proof.
    """
    mask = np.zeros(len(values), dtype=bool)
    for side in (values, -values):
        extreme = float(np.max(side))
        if extreme <= 0.0:
            continue
        at_extreme = side >= _RAIL_BAND * extreme
        count = int(at_extreme.sum())
        before = int((side >= (2 * _RAIL_BAND - 1) * extreme).sum()) - count
        piles_up = count >= 8 and count >= 5 * (before + 1)
        at_range_end = any(0.99 < extreme / end < 1.002 for end in _KNOWN_RANGES_MV)
        if piles_up or (at_range_end and count >= 3):
            mask |= at_extreme
    return mask


def _hum(frequency_hz: NDArray[np.float64], power: NDArray[np.float64], mains_hz: float) -> float:
    excess = 0.0
    for harmonic in np.arange(mains_hz, min(301.0, frequency_hz[-1] - 4.0), mains_hz):
        distance = np.abs(frequency_hz - harmonic)
        inside = distance <= _HUM_HALF_WIDTH_HZ
        beside = (distance > 2 * _HUM_HALF_WIDTH_HZ) & (distance <= 5 * _HUM_HALF_WIDTH_HZ)
        if inside.any() and beside.any():
            floor = float(np.median(power[beside])) * int(inside.sum())
            excess += max(0.0, float(power[inside].sum()) - floor)
    return excess / (float(power.sum()) or 1.0)


def _longest_hold(values: NDArray[np.float64], on_rail: NDArray[np.bool_]) -> int:
    """Return the length of the longest run of one repeated value, 0 when none repeats."""
    return _longest_run((np.diff(values) == 0.0) & ~on_rail[1:])


def _longest_run(repeats: NDArray[np.bool_]) -> int:
    """Return the number of samples in the longest run, given which repeat the one before."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], repeats.view(np.int8), [0]])))
    runs = edges[1::2] - edges[::2]
    return int(runs.max()) + 1 if len(runs) else 0


def imu_rail_fraction(values: NDArray[np.float64], kind: Literal["acc", "gyro"]) -> float:
    """Return the share of samples, (n, c) in SI units, at the end of a usual sensor range."""
    extreme = float(np.max(np.abs(values)))
    for end in _IMU_RANGES[kind]:
        if abs(extreme / end - 1.0) < 1e-3:
            hits = np.abs(values) >= 0.999 * end
            return float(np.mean(np.any(hits, axis=1))) if hits.sum() >= 3 else 0.0
    return 0.0


def imu_longest_hold_ms(values: NDArray[np.float64], rate_hz: float) -> float:
    """Return the longest time no channel of (n, c) changed, as noise would make it."""
    return 1000.0 * _longest_run(np.all(np.diff(values, axis=0) == 0.0, axis=1)) / rate_hz


@dataclass(frozen=True)
class Rest:
    """What the IMU reads where it moves least.

    Attributes
    ----------
    gravity_m_s2 : (float, float, float)
        Mean acceleration over the half second most typical of the quietest 5 %.
    magnitude_m_s2 : float
        Median size of the mean acceleration over the quietest half seconds.
    gyro_offset_rad_s : (float, float, float)
        Mean angular rate of the whole recording; a limb comes back, so this is the sensor's own.
    """

    gravity_m_s2: tuple[float, float, float]
    magnitude_m_s2: float
    gyro_offset_rad_s: tuple[float, float, float]


@dataclass(frozen=True)
class Inspection:
    """All that `myowave inspect` says of one recording.

    Attributes
    ----------
    name, subject, day : str
        As in the recording.
    duration_s : float
        Length.
    rates_hz : dict of str to float
        Rate of each source channel.
    lost_s : float
        Time of the longest channel that the common span does not hold.
    emg : dict of str to EmgQuality
        By muscle, measured on the source samples where the recording was imported.
    imu_rail_fraction : float
        Share of IMU samples at the end of the sensor's range.
    imu_longest_hold_ms : float
        Longest time for which no IMU channel changed.
    rest : Rest
        Gravity and gyroscope offset.
    orientation : Orientation
        How the sensor was turned relative to the other recordings or to a reference.
    corrected : str
        Turn that was already put right at import; "none" where nothing was.
    verdict : {"ok", "artifact", "exclude"}
        The worst of all checks.
    reasons : tuple of str
        Why it is not "ok".
    """

    name: str
    subject: str
    day: str
    duration_s: float
    rates_hz: dict[str, float]
    lost_s: float
    emg: dict[str, EmgQuality]
    imu_rail_fraction: float
    imu_longest_hold_ms: float
    rest: Rest
    orientation: Orientation
    corrected: str
    verdict: Verdict
    reasons: tuple[str, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """Return the inspection as JSON-able values."""
        values = asdict(self)
        values["orientation"]["certain"] = self.orientation.certain
        return values


def inspect(
    recordings: Sequence[Recording], reference: OrientationReference | None = None
) -> list[Inspection]:
    """Judge recordings, their orientation relative to each other or to a reference.

    Returns
    -------
    list of Inspection
        One a recording, in their order.
    """
    orientations = estimate(recordings, reference)
    return [
        _inspect_one(recording, orientation)
        for recording, orientation in zip(recordings, orientations, strict=True)
    ]


def find_rest(recording: Recording) -> Rest:
    """Return gravity and gyroscope offset, from the quietest half-second pieces."""
    length = min(round(_REST_WINDOW_S * RATE_HZ), recording.n_samples)
    count = recording.n_samples // length
    pieces = np.hstack([recording.acc, recording.gyro])[: count * length]
    pieces = pieces.reshape(count, length, 6)
    # A piece is quiet where neither acceleration nor angular rate changes; 1 rad/s counts as 0.1 g.
    spread = pieces.std(axis=1) / np.repeat([0.1 * G_M_S2, 1.0], 3)
    quietest = np.argsort(np.sum(spread**2, axis=1))[: max(1, round(_REST_SHARE * count))]
    candidates = pieces[quietest, :, :3].mean(axis=1)
    # People rest with the arm in more than one posture: take the piece nearest to all others, not
    # a mean of postures, which would be shorter than gravity.
    distances = np.linalg.norm(candidates[:, None] - candidates[None], axis=2).sum(axis=1)
    gravity = candidates[np.argmin(distances)]
    offset = recording.gyro.mean(axis=0)
    return Rest(
        (float(gravity[0]), float(gravity[1]), float(gravity[2])),
        float(np.median(np.linalg.norm(candidates, axis=1))),
        (float(offset[0]), float(offset[1]), float(offset[2])),
    )


def _inspect_one(recording: Recording, orientation: Orientation) -> Inspection:
    provenance = recording.provenance
    stored = provenance.get("source_quality", {})
    emg = {
        muscle: EmgQuality(**stored[muscle])
        if muscle in stored
        else emg_quality(recording.emg[:, column], RATE_HZ)
        for column, muscle in enumerate(recording.muscles)
    }
    imu_rail = provenance.get("imu_rail_fraction")
    if imu_rail is None:
        imu_rail = max(
            imu_rail_fraction(recording.acc, "acc"), imu_rail_fraction(recording.gyro, "gyro")
        )
    imu_hold_ms = provenance.get("imu_longest_hold_ms")
    if imu_hold_ms is None:
        imu_hold_ms = imu_longest_hold_ms(np.hstack([recording.acc, recording.gyro]), RATE_HZ)
    ends_s = [channel["end_s"] for channel in provenance.get("channels", {}).values()]
    starts_s = [channel["start_s"] for channel in provenance.get("channels", {}).values()]
    lost_s = max(ends_s) - min(starts_s) - recording.duration_s if ends_s else 0.0
    rest = find_rest(recording)
    findings = [finding for muscle in emg for finding in _judge_emg(muscle, emg[muscle])]
    findings += _judge_imu(rest, imu_rail, imu_hold_ms, bool(provenance.get("missing_gyro")))
    verdicts = [verdict for verdict, _ in findings]
    worst: Verdict = "ok"
    if verdicts:
        worst = "exclude" if "exclude" in verdicts else "artifact"
    return Inspection(
        name=recording.name,
        subject=recording.subject,
        day=recording.day,
        duration_s=recording.duration_s,
        rates_hz=dict(recording.source_rates_hz),
        lost_s=max(0.0, lost_s),
        emg=emg,
        imu_rail_fraction=float(imu_rail),
        imu_longest_hold_ms=float(imu_hold_ms),
        rest=rest,
        orientation=orientation,
        corrected=str(provenance.get("orientation", {}).get("turn", "none")),
        verdict=worst,
        reasons=tuple(reason for _, reason in findings),
    )


def _judge_emg(muscle: str, quality: EmgQuality) -> list[tuple[Verdict, str]]:
    findings: list[tuple[Verdict, str]] = []
    if quality.rail_fraction > 0.0:
        findings.append(
            (
                "exclude" if quality.rail_fraction > EXCLUDE_RAIL else "artifact",
                f"{muscle}: {100 * quality.rail_fraction:.2g} % of samples on the rail "
                f"({quality.abs_max_mv:.3g} mV)",
            )
        )
    if quality.below_20hz_power > MAX_BELOW_20HZ:
        findings.append(
            ("artifact", f"{muscle}: {100 * quality.below_20hz_power:.0f} % of power below 20 Hz")
        )
    for mains_hz, share in ((50, quality.hum_50hz), (60, quality.hum_60hz)):
        if share > MAX_HUM:
            findings.append(
                ("artifact", f"{muscle}: {100 * share:.0f} % of power is {mains_hz} Hz hum")
            )
    if quality.longest_hold_ms > MAX_HOLD_MS:
        findings.append(
            (
                "exclude" if quality.longest_hold_ms > EXCLUDE_HOLD_MS else "artifact",
                f"{muscle}: one value held for {quality.longest_hold_ms:.0f} ms, samples were lost",
            )
        )
    return findings


def _judge_imu(
    rest: Rest, rail: float, hold_ms: float, missing_gyro: bool
) -> list[tuple[Verdict, str]]:
    findings: list[tuple[Verdict, str]] = []
    error = abs(rest.magnitude_m_s2 / G_M_S2 - 1.0)
    if error > MAX_GRAVITY_ERROR:
        findings.append(
            (
                "exclude" if error > EXCLUDE_GRAVITY_ERROR else "artifact",
                f"IMU: {rest.magnitude_m_s2:.2f} m/s² at rest, expected {G_M_S2:.2f}",
            )
        )
    if rail > 0.0:
        findings.append(("artifact", f"IMU: {100 * rail:.2g} % of samples at the range's end"))
    if hold_ms > MAX_HOLD_MS:
        findings.append(
            (
                "exclude" if hold_ms > EXCLUDE_HOLD_MS else "artifact",
                f"IMU: no change for {hold_ms:.0f} ms, samples were lost",
            )
        )
    if missing_gyro:
        findings.append(("artifact", "IMU: no gyroscope"))
    return findings
