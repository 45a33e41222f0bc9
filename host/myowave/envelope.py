"""The training target: the linear envelope of sEMG, and what it is a fraction of.

Band-pass, rectify, low-pass: the processing SENIAM and ISEK recommend (Merletti & Di Torino,
Standards for reporting EMG data, J. Electromyogr. Kinesiol. 9, 1999). Amplitude depends on the
electrode, the day and the person, so envelopes are only comparable as a fraction of a reference
measured on the same person, day and muscle: a maximum voluntary contraction (MVC), or a percentile
of recordings set apart for it. Never of the recording that is to be judged.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myowave.errors import ConfigError, RecordingError
from myowave.recording import RATE_HZ, Recording

_BAND_PASS_ORDER = 2
_NOTCH_QUALITY = 30.0
_MVC_WINDOW_S = 0.5


@dataclass(frozen=True)
class EnvelopeConfig:
    """How an envelope is made.

    Attributes
    ----------
    band_hz : (float, float)
        Edges of the band-pass (Butterworth, second order on each side). The upper edge is lowered
        to 0.9 of the Nyquist frequency of slow recordings.
    notch_hz : float or None
        Mains frequency (50 or 60) to remove with its harmonics; None leaves it in.
    lowpass_hz : float
        -3 dB frequency of the smoothing low-pass (Butterworth), also when it runs twice.
    order : int
        Order of the low-pass; a zero-phase filter runs it forth and back.
    causal : bool
        True filters as a device would, with a delay; False filters forth and back without one.
    """

    band_hz: tuple[float, float] = (20.0, 450.0)
    notch_hz: float | None = None
    lowpass_hz: float = 6.0
    order: int = 2
    causal: bool = False

    def __post_init__(self) -> None:
        """Refuse what no filter can do."""
        low, high = self.band_hz
        if not 0.0 < low < high:
            raise ConfigError(f"envelope band_hz {self.band_hz}: expected 0 < low < high")
        if not 0.0 < self.lowpass_hz < 100.0:
            raise ConfigError(f"envelope lowpass_hz {self.lowpass_hz}: expected 0 to 100")
        if not 1 <= self.order <= 8:
            raise ConfigError(f"envelope order {self.order}: expected 1 to 8")
        if self.notch_hz is not None and not 40.0 <= self.notch_hz <= 70.0:
            raise ConfigError(f"envelope notch_hz {self.notch_hz}: expected 50 or 60, or none")


@dataclass(frozen=True)
class Envelope:
    """An envelope and how it came about.

    Attributes
    ----------
    values : (n, m) float64
        Envelope in mV, never negative.
    delay_ms : float
        How much later than the muscle's activity the envelope shows it; 0 for zero-phase.
    band_hz : (float, float)
        Band-pass edges used, after the upper one was lowered for a slow recording.
    """

    values: NDArray[np.float64]
    delay_ms: float
    band_hz: tuple[float, float]


def emg_envelope(
    emg_mv: NDArray[np.float64],
    rate_hz: float = RATE_HZ,
    config: EnvelopeConfig | None = None,
    source_rate_hz: float | None = None,
) -> Envelope:
    """Return the linear envelope of raw sEMG.

    Parameters
    ----------
    emg_mv : (n, m) array
        Raw sEMG in mV.
    rate_hz : float
        Rate of `emg_mv`.
    config : EnvelopeConfig, optional
        The filters; zero-phase, 20-450 Hz and 6 Hz when not given.
    source_rate_hz : float, optional
        Rate the sEMG was first recorded at, where that was lower than `rate_hz`.

    Raises
    ------
    ConfigError
        If the band does not fit under the Nyquist frequency.
    RecordingError
        If there are too few samples for the filters.
    """
    from scipy import signal

    config = config or EnvelopeConfig()
    emg = np.asarray(emg_mv, dtype=np.float64)
    if emg.ndim != 2:
        raise RecordingError(f"emg: shape {emg.shape}, expected (n, muscles)")
    if len(emg) < rate_hz / config.lowpass_hz:
        raise RecordingError(
            f"emg: {len(emg) / rate_hz:.3f} s is too short for a {config.lowpass_hz:g} Hz "
            f"low-pass, expected at least {1 / config.lowpass_hz:.3f} s"
        )
    slowest_hz = min(rate_hz, source_rate_hz or rate_hz)
    band_hz = (config.band_hz[0], min(config.band_hz[1], 0.45 * slowest_hz))
    if band_hz[0] >= band_hz[1]:
        raise ConfigError(
            f"envelope band_hz {config.band_hz}: sEMG recorded at {slowest_hz:g} Hz reaches "
            f"{0.45 * slowest_hz:g} Hz only"
        )
    band_pass = _band_pass(config, band_hz, rate_hz)
    low_pass = _low_pass(config, rate_hz)
    if config.causal:
        # Starting as if the first sample had always been there keeps an offset from ringing.
        band, _ = signal.sosfilt(
            band_pass, emg, axis=0, zi=signal.sosfilt_zi(band_pass)[:, :, None] * emg[0]
        )
        rectified = np.abs(band)
        at_start = rectified[: int(rate_hz / config.lowpass_hz)].mean(axis=0)
        values, _ = signal.sosfilt(
            low_pass, rectified, axis=0, zi=signal.sosfilt_zi(low_pass)[:, :, None] * at_start
        )
    else:
        pad = min(len(emg) - 1, int(3 * rate_hz / config.band_hz[0]))
        rectified = np.abs(signal.sosfiltfilt(band_pass, emg, axis=0, padlen=pad))
        pad = min(len(emg) - 1, int(2 * rate_hz / config.lowpass_hz))
        values = signal.sosfiltfilt(low_pass, rectified, axis=0, padtype="even", padlen=pad)
    # A Butterworth low-pass overshoots a little below zero after a burst.
    return Envelope(np.maximum(values, 0.0), _delay_ms(config, band_hz, rate_hz), band_hz)


def recording_envelope(recording: Recording, config: EnvelopeConfig | None = None) -> Envelope:
    """Return the envelope of a recording's sEMG, with the rate it was recorded at respected."""
    rates = [
        rate for channel, rate in recording.source_rates_hz.items() if channel.startswith("emg")
    ]
    try:
        return emg_envelope(recording.emg, RATE_HZ, config, min(rates) if rates else None)
    except RecordingError as error:
        raise RecordingError(f"recording '{recording.name}': {error}") from None


def _band_pass(
    config: EnvelopeConfig, band_hz: tuple[float, float], rate_hz: float
) -> NDArray[np.float64]:
    from scipy import signal

    sections = [signal.butter(_BAND_PASS_ORDER, band_hz, "bandpass", fs=rate_hz, output="sos")]
    if config.notch_hz is not None:
        for frequency in np.arange(config.notch_hz, band_hz[1], config.notch_hz):
            sections.append(signal.tf2sos(*signal.iirnotch(frequency, _NOTCH_QUALITY, fs=rate_hz)))
    return np.vstack(sections)


def _low_pass(config: EnvelopeConfig, rate_hz: float) -> NDArray[np.float64]:
    from scipy import signal

    cutoff_hz = config.lowpass_hz
    if not config.causal:
        # Two passes add up to -6 dB at the cut-off: widen, so that -3 dB stays where it is named
        # (Robertson & Dowling, J. Electromyogr. Kinesiol. 13, 2003).
        cutoff_hz /= (2**0.5 - 1) ** (0.5 / config.order)
    sections: NDArray[np.float64] = signal.butter(
        config.order, cutoff_hz, "lowpass", fs=rate_hz, output="sos"
    )
    return sections


def _delay_ms(config: EnvelopeConfig, band_hz: tuple[float, float], rate_hz: float) -> float:
    """Return the delay of slow changes of amplitude through both filters.

    The envelope of a carrier passes the band-pass (and notches) with the group delay there, taken
    as the mean over what the filter lets through from 40 to 160 Hz, where sEMG has most of its
    power, and the low-pass with its group delay at 0 Hz.
    """
    if not config.causal:
        return 0.0
    carrier_hz = np.linspace(max(band_hz[0], 40.0), min(band_hz[1], 160.0), 4001)
    gain, delay_s = _gain_and_group_delay(_band_pass(config, band_hz, rate_hz), carrier_hz, rate_hz)
    mean_delay_s = float(np.average(delay_s, weights=gain**2))
    _, at_rest_s = _gain_and_group_delay(
        _low_pass(config, rate_hz), np.array([1e-3 * config.lowpass_hz]), rate_hz
    )
    return 1000.0 * (mean_delay_s + float(at_rest_s[0]))


def _gain_and_group_delay(
    sections: NDArray[np.float64], frequency_hz: NDArray[np.float64], rate_hz: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    from scipy import signal

    half_width_hz = 1e-3
    _, below = signal.sosfreqz(sections, frequency_hz - half_width_hz, fs=rate_hz)
    _, above = signal.sosfreqz(sections, frequency_hz + half_width_hz, fs=rate_hz)
    # The difference quotient must not step across a notch, where the phase jumps.
    delay_s = -np.angle(above * np.conj(below)) / (2 * np.pi * 2 * half_width_hz)
    gain = np.sqrt(np.abs(above) * np.abs(below))
    return gain, np.where(gain > 1e-3, delay_s, 0.0)


@dataclass(frozen=True)
class Reference:
    """What 1.0 is, in mV, for each subject, day and muscle.

    Attributes
    ----------
    method : str
        `mvc`: highest mean over 0.5 s of the recordings given, which hold maximal contractions.
        `percentile:P`: percentile P of all samples of the recordings given, of each day.
        `calibration:S:P`: percentile P of the first S seconds of the day's first recording.
    values_mv : dict of (subject, day, muscle) to float
        The references.
    envelope : EnvelopeConfig
        The filters the references were measured with; envelopes made with others do not compare.
    recordings : tuple of str
        Names of the recordings they were measured on.
    """

    method: str
    values_mv: dict[tuple[str, str, str], float]
    envelope: EnvelopeConfig = field(default_factory=EnvelopeConfig)
    recordings: tuple[str, ...] = ()

    @classmethod
    def fit(
        cls,
        recordings: Iterable[Recording],
        method: str = "percentile:99",
        config: EnvelopeConfig | None = None,
    ) -> "Reference":
        """Measure references on recordings that may be used for it: training or calibration data.

        Raises
        ------
        ConfigError
            If the method is unknown.
        RecordingError
            If a muscle is silent in all recordings of a day.
        """
        config = config or EnvelopeConfig()
        kind, numbers = _parse_method(method)
        days: dict[tuple[str, str], list[Recording]] = {}
        for recording in recordings:
            days.setdefault((recording.subject, recording.day), []).append(recording)
        values: dict[tuple[str, str, str], float] = {}
        used: list[str] = []
        for (subject, day), of_day in days.items():
            chosen = sorted(of_day, key=_when)
            span: int | None = None
            if kind == "calibration":
                chosen, span = chosen[:1], round(numbers[0] * RATE_HZ)
            used += [recording.name for recording in chosen]
            pooled: dict[str, list[NDArray[np.float64]]] = {}
            for recording in chosen:
                envelope = recording_envelope(recording, config).values[:span]
                for column, muscle in enumerate(recording.muscles):
                    pooled.setdefault(muscle, []).append(envelope[:, column])
            for muscle, parts in pooled.items():
                value = _level(parts, kind, numbers)
                if not value > 0.0:
                    raise RecordingError(
                        f"subject '{subject}', day '{day}', muscle '{muscle}': reference by "
                        f"{method} is {value:g} mV, expected more than 0; is the electrode off?"
                    )
                values[subject, day, muscle] = value
        return cls(method, values, config, tuple(used))

    def normalize(self, recording: Recording, envelope: Envelope) -> NDArray[np.float64]:
        """Return `envelope`, (n, m) in mV, as a fraction of the reference of each muscle."""
        return envelope.values / self.levels_mv(recording)

    def levels_mv(self, recording: Recording) -> NDArray[np.float64]:
        """Return the (m,) references in mV of a recording's muscles.

        Raises
        ------
        RecordingError
            If there is none for its subject, day and muscle; the message names the remedy.
        """
        levels = []
        for muscle in recording.muscles:
            key = (recording.subject, recording.day, muscle)
            if key not in self.values_mv:
                known = ", ".join(sorted({f"{s} {d} {m}" for s, d, m in self.values_mv}))
                raise RecordingError(
                    f"recording '{recording.name}': no amplitude reference for subject "
                    f"'{recording.subject}', day '{recording.day}', muscle '{muscle}' (known: "
                    f"{known or 'none'}); measure one on an MVC or on a calibration recording of "
                    "that day"
                )
            levels.append(self.values_mv[key])
        return np.array(levels)

    def merged(self, other: "Reference") -> "Reference":
        """Return both sets of references in one; `other` wins where both have a value."""
        if other.envelope != self.envelope:
            raise ConfigError("references measured with different envelope filters do not combine")
        method = self.method if self.method == other.method else f"{self.method}+{other.method}"
        return Reference(
            method,
            {**self.values_mv, **other.values_mv},
            self.envelope,
            tuple(dict.fromkeys([*self.recordings, *other.recordings])),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the reference as JSON-able values."""
        return {
            "method": self.method,
            "envelope": {**asdict(self.envelope), "band_hz": list(self.envelope.band_hz)},
            "recordings": list(self.recordings),
            "values_mv": [
                {"subject": subject, "day": day, "muscle": muscle, "mv": value}
                for (subject, day, muscle), value in self.values_mv.items()
            ],
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Reference":
        """Read what `to_json` wrote; raise ConfigError where it does not fit."""
        try:
            envelope = dict(values["envelope"])
            envelope["band_hz"] = tuple(float(edge) for edge in envelope["band_hz"])
            return cls(
                str(values["method"]),
                {
                    (str(row["subject"]), str(row["day"]), str(row["muscle"])): float(row["mv"])
                    for row in values["values_mv"]
                },
                EnvelopeConfig(**envelope),
                tuple(str(name) for name in values["recordings"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"amplitude reference: {error!r} in its JSON") from None


def _parse_method(method: str) -> tuple[str, tuple[float, ...]]:
    kind, *texts = method.split(":")
    expected = {"mvc": 0, "percentile": 1, "calibration": 2}
    try:
        numbers = tuple(float(text) for text in texts)
    except ValueError:
        numbers = ()
    percentile_ok = kind == "mvc" or (numbers and 0.0 < numbers[-1] <= 100.0)
    span_ok = kind != "calibration" or (numbers and numbers[0] > 0.0)
    if len(texts) != expected.get(kind, -1) or not percentile_ok or not span_ok:
        raise ConfigError(
            f"reference method '{method}': expected 'mvc', 'percentile:P' or "
            "'calibration:SECONDS:P' with P from 0 to 100"
        )
    return kind, numbers


def _level(parts: Sequence[NDArray[np.float64]], kind: str, numbers: tuple[float, ...]) -> float:
    if kind != "mvc":
        return float(np.percentile(np.concatenate(parts), numbers[-1]))
    window = round(_MVC_WINDOW_S * RATE_HZ)
    best = 0.0
    for part in parts:
        sums = np.concatenate([[0.0], np.cumsum(part)])
        length = min(window, len(part))
        best = max(best, float(np.max(sums[length:] - sums[:-length])) / length)
    return best


def _when(recording: Recording) -> tuple[str, str]:
    return str(recording.provenance.get("recorded", "")), recording.name
