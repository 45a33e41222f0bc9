"""From the channels of a source file to one 1 kHz recording: checks, units, common span, rate."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myowave.errors import RecordingError
from myowave.imu import G_M_S2
from myowave.quality import emg_quality, imu_longest_hold_ms, imu_rail_fraction
from myowave.readers.source import Kind, ReadOptions, Signal, Source, sha256, unit_factor
from myowave.recording import RATE_HZ, Recording
from myowave.resample import PASS_BAND, STOP_BAND_DB, resample

MIN_DURATION_S = 1.0
UNKNOWN_SUBJECT = "unknown"
_MIN_SAMPLES = round(MIN_DURATION_S * RATE_HZ)
_SAME_SAMPLE = 1e-3  # of a sample: what times in floating point are off, and more
_SHORT_CHANNEL = 0.9
_LENGTH_TOLERANCE = 0.01
_LENGTH_TOLERANCE_S = 0.1
# Beyond any sensor: 1000 g, 57000 °/s, 10 V.
_LARGEST: dict[Kind, float] = {"acc": 1e3 * G_M_S2, "gyro": 1e3, "emg": 1e4}


@dataclass(frozen=True)
class _Span:
    """A signal in SI units without its blank ends: sample i was taken at start_s + i / rate.

    NaN in gaps.
    """

    signal: Signal
    values: NDArray[np.float64]
    start_s: Fraction

    @property
    def end_s(self) -> Fraction:
        """Time of the last sample."""
        return self.start_s + Fraction(len(self.values) - 1) / self.signal.rate_hz


def assemble(source: Source, options: ReadOptions) -> Recording:
    """Return the recording a source file holds.

    IMU and sEMG are kept over the longest span that all channels cover; it begins at the first
    instant all have begun and ends at the last sample of the shortest.

    Raises
    ------
    RecordingError
        At an unknown unit, a missing value between others, a constant channel, lengths that
        contradict the rates or the header, or less than 1 s in common.
    """
    source = _with_chosen_emg(source, options)
    spans = _spans(source, options)
    for span in spans:
        _refuse_gap(source, span)
    _, n_samples = _common(spans)
    if n_samples < _MIN_SAMPLES:
        raise RecordingError(
            f"{source.path}: too short, its channels have {max(0, n_samples) / RATE_HZ:.3f} s in "
            f"common, expected at least {MIN_DURATION_S:g} s"
        )
    return _recording(source, options, spans)


def assemble_parts(source: Source, options: ReadOptions) -> list[Recording]:
    """Return what lies between the gaps of a source file: one recording a part, in order.

    A gap is where any channel has no value. Parts under 1 s are left out; how many is in the
    provenance, where it says which part of how many a recording is, its place in `span_s`.

    Raises
    ------
    RecordingError
        As `assemble`, but not at a missing value; when no part is long enough.
    """
    source = _with_chosen_emg(source, options)
    spans = _spans(source, options)
    if not any(np.isnan(span.values).any() for span in spans):
        return [assemble(source, options)]
    stretches = _between_gaps(spans)
    # A sample more or less is for `_common` to tell.
    long_enough = np.diff(stretches)[:, 0] * RATE_HZ > _MIN_SAMPLES - 2
    parts = [
        [_cut(span, begin_s, end_s) for span in spans] for begin_s, end_s in stretches[long_enough]
    ]
    parts = [part for part in parts if _common(part)[1] >= _MIN_SAMPLES]
    if not parts:
        raise RecordingError(
            f"{source.path}: nothing between its gaps lasts {MIN_DURATION_S:g} s, the least a "
            "recording may have"
        )
    recordings = []
    for number, part in enumerate(parts, start=1):
        recording = _recording(source, options, part)
        place = {"number": number, "of": len(parts), "too_short": len(stretches) - len(parts)}
        name = f"{recording.name}_part{number}" if len(parts) > 1 else recording.name
        recordings.append(
            replace(recording, name=name, provenance={**recording.provenance, "part": place})
        )
    return recordings


def _common(spans: Sequence[_Span]) -> tuple[Fraction, int]:
    """Return when all channels have begun, and the 1 kHz samples until the first ends."""
    start_s = max(span.start_s for span in spans)
    end_s = min(span.end_s for span in spans)
    return start_s, math.floor((end_s - start_s) * RATE_HZ) + 1


def _between_gaps(spans: Sequence[_Span]) -> NDArray[np.float64]:
    """Return begin and end, in seconds, of all that no channel's gap touches, (k, 2)."""
    gaps = []
    for span in spans:
        turns = np.flatnonzero(np.diff(np.isnan(span.values)))  # ends of a span have values
        known = np.column_stack([turns[0::2], turns[1::2] + 1])  # last before, first after
        gaps.append(float(span.start_s) + known / float(span.signal.rate_hz))
    merged = np.concatenate(gaps)
    merged = merged[np.argsort(merged[:, 0])]
    start_s = float(max(span.start_s for span in spans))
    end_s = float(min(span.end_s for span in spans))
    begins = np.r_[start_s, np.maximum.accumulate(merged[:, 1])]
    ends = np.r_[merged[:, 0], end_s]
    stretches = np.column_stack([np.maximum(begins, start_s), np.minimum(ends, end_s)])
    return stretches[stretches[:, 1] > stretches[:, 0]]


def _cut(span: _Span, begin_s: float, end_s: float) -> _Span:
    """Return the samples that cover begin to end, as far as there are any."""
    rate_hz = span.signal.rate_hz
    begin, end = ((edge - float(span.start_s)) * float(rate_hz) for edge in (begin_s, end_s))
    first = max(0, math.floor(begin + _SAME_SAMPLE))
    last = min(len(span.values) - 1, math.ceil(end - _SAME_SAMPLE))
    # Beyond an edge that is another channel's there may be a gap.
    first += int(np.isnan(span.values[first]))
    last -= int(np.isnan(span.values[last]))
    return _Span(span.signal, span.values[first : last + 1], span.start_s + first / rate_hz)


def _recording(source: Source, options: ReadOptions, spans: Sequence[_Span]) -> Recording:
    """Return what channels without gaps have in common as a recording."""
    start_s, n_samples = _common(spans)
    resampled = _resample_all(spans, start_s, n_samples)
    n_imu = len(source.imu)
    gyro = resampled[:, 3:n_imu] if n_imu == 6 else np.zeros((n_samples, 3))
    muscles = _muscle_names(source, options)
    quality = {
        muscle: asdict(emg_quality(span.values, float(span.signal.rate_hz)))
        for muscle, span in zip(muscles, spans[n_imu:], strict=True)
    }
    names = [*(f"acc_{axis}" for axis in "xyz"), *(f"gyro_{axis}" for axis in "xyz")][:n_imu]
    names += [f"emg {muscle}" for muscle in muscles]
    provenance: dict[str, Any] = {
        **source.carried,
        "source": {
            "file": source.path.name,
            "sha256": sha256(source.path),
            "reader": source.reader,
            **{key: value for key, value in source.details.items() if key != "recorded"},
        },
        "recorded": source.details.get("recorded", ""),
        "channels": {
            name: {
                "label": span.signal.label,
                "sensor": span.signal.sensor,
                "samples": len(span.values),
                "start_s": round(float(span.start_s), 6),
                "end_s": round(float(span.end_s), 6),
            }
            for name, span in zip(names, spans, strict=True)
        },
        "span_s": [round(float(start_s), 6), round(float(start_s) + (n_samples - 1) / RATE_HZ, 6)],
        "resampling": {
            "filter": "Kaiser-windowed sinc, where the rate is not 1 kHz",
            "pass_band": PASS_BAND,
            "stop_band_db": STOP_BAND_DB,
            "delay_ms": 0.0,
        },
        "imu_longest_hold_ms": _imu_hold_ms(spans[:n_imu]),
        "imu_rail_fraction": max(
            imu_rail_fraction(span.values[:, None], "acc" if index < 3 else "gyro")
            for index, span in enumerate(spans[:n_imu])
        ),
        "source_quality": quality,
    }
    if n_imu != 6:
        provenance["missing_gyro"] = True
    stem = source.path.stem
    return Recording(
        acc=resampled[:, :3],
        gyro=gyro,
        emg=resampled[:, n_imu:],
        muscles=muscles,
        subject=_first(options.subject, source.subject, _subject_of(stem)),
        day=_first(options.day, source.day),
        name=_first(options.name, source.name, stem),
        source_rates_hz={
            name: float(span.signal.rate_hz) for name, span in zip(names, spans, strict=True)
        },
        source_units={name: span.signal.unit for name, span in zip(names, spans, strict=True)},
        provenance=provenance,
    )


def _spans(source: Source, options: ReadOptions) -> list[_Span]:
    spans = [_span(source, signal) for signal in (*source.imu, *source.emg)]
    _check_lengths(source, spans, options)
    return spans


def _span(source: Source, signal: Signal) -> _Span:
    """Cut blank ends off; what is left must be possible and change."""
    factor = unit_factor(source.path, signal)
    where = f"{source.path}: {signal.place}"
    present = np.flatnonzero(~np.isnan(signal.values))
    if len(present) < 2:
        raise RecordingError(f"{where}: no values")
    first, last = int(present[0]), int(present[-1])
    values = signal.values[first : last + 1]
    limit = _LARGEST[signal.kind] / factor
    if np.nanmax(np.abs(values)) > limit:
        at = first + int(np.argmax(np.abs(values) > limit))
        raise RecordingError(
            f"{source.path}: {_row(signal, at)}, {signal.place}: {signal.values[at]:g} "
            f"{signal.unit}, expected at most {limit:g}; is the unit right?"
        )
    if np.nanmin(values) == np.nanmax(values):
        raise RecordingError(
            f"{where}: constant at {values[0]:g} {signal.unit}, expected a signal; is the sensor "
            "connected?"
        )
    start_s = Fraction(signal.start_s).limit_denominator(1_000_000) + first / signal.rate_hz
    return _Span(signal, factor * values, start_s)


def _refuse_gap(source: Source, span: _Span) -> None:
    missing = np.flatnonzero(np.isnan(span.values))
    if len(missing):
        signal = span.signal
        blank_start = int(np.argmin(np.isnan(signal.values)))
        raise RecordingError(
            f"{source.path}: {_row(signal, blank_start + int(missing[0]))}, {signal.place}: no "
            "value between others, expected a number; 'myowave import --split-gaps' takes the "
            "parts between gaps"
        )


def _row(signal: Signal, index: int) -> str:
    return f"row {signal.first_row + index}" if signal.first_row else f"sample {index}"


def _check_lengths(source: Source, spans: Sequence[_Span], options: ReadOptions) -> None:
    """Refuse channels whose rates cannot all be right, or a file that was cut."""
    lengths_s = [float(len(span.values) / span.signal.rate_hz) for span in spans]
    longest, shortest = int(np.argmax(lengths_s)), int(np.argmin(lengths_s))
    stated_s = source.length_s
    if stated_s is not None:
        slack_s = _LENGTH_TOLERANCE * stated_s + _LENGTH_TOLERANCE_S
        # The fastest channel has a row each; blank ones at the end were recorded time too.
        rows = max(len(span.signal.values) for span in spans)
        rows_s = float(rows / max(span.signal.rate_hz for span in spans))
        if lengths_s[longest] > stated_s + slack_s:
            raise RecordingError(
                f"{source.path}: {_timing(spans[longest])}, but the header says {stated_s:g} s: "
                "its rate contradicts its length"
            )
        if rows_s < stated_s - slack_s and not options.allow_short:
            raise RecordingError(
                f"{source.path}: {rows} rows are {rows_s:.3f} s, but the header says "
                f"{stated_s:g} s: the file is cut off or a rate contradicts its length; keep what "
                "is there with --allow-short"
            )
    may_differ = source.timed or options.allow_short
    if lengths_s[shortest] < _SHORT_CHANNEL * lengths_s[longest] and not may_differ:
        raise RecordingError(
            f"{source.path}: {_timing(spans[shortest])}, {_timing(spans[longest])}: the rates "
            "contradict the lengths; if one sensor stopped early, keep the common span with "
            "--allow-short"
        )


def _timing(span: _Span) -> str:
    rate = span.signal.rate_hz
    return (
        f"{span.signal.place} has {len(span.values)} samples at {float(rate):.4f} Hz = "
        f"{float(len(span.values) / rate):.3f} s"
    )


def _resample_all(spans: Sequence[_Span], start_s: Fraction, n_samples: int) -> NDArray[np.float64]:
    """Return (n_samples, channels); channels of one rate and start go together."""
    out = np.empty((n_samples, len(spans)))
    groups: dict[tuple[Fraction, Fraction, int], list[int]] = {}
    for index, span in enumerate(spans):
        key = (span.signal.rate_hz, span.start_s, len(span.values))
        groups.setdefault(key, []).append(index)
    for (rate_hz, first_s, _), members in groups.items():
        values = np.column_stack([spans[index].values for index in members])
        out[:, members] = resample(values, rate_hz, n_samples, start_s - first_s)
    return out


def _imu_hold_ms(spans: Sequence[_Span]) -> float:
    length = min(len(span.values) for span in spans)
    values = np.column_stack([span.values[:length] for span in spans])
    return imu_longest_hold_ms(values, float(spans[0].signal.rate_hz))


def _with_chosen_emg(source: Source, options: ReadOptions) -> Source:
    if options.emg_sensors is None:
        return source
    unknown = [name for name in options.emg_sensors if name not in source.muscles]
    if unknown or len(set(options.emg_sensors)) != len(options.emg_sensors):
        raise RecordingError(
            f"{source.path}: sEMG sensors {', '.join(options.emg_sensors)}, expected each once "
            f"out of {', '.join(source.muscles)}"
        )
    chosen = [source.muscles.index(name) for name in options.emg_sensors]
    return replace(
        source,
        emg=tuple(source.emg[index] for index in chosen),
        muscles=tuple(source.muscles[index] for index in chosen),
    )


def _muscle_names(source: Source, options: ReadOptions) -> tuple[str, ...]:
    if options.muscles is None:
        return source.muscles
    if len(options.muscles) != len(source.emg):
        raise RecordingError(
            f"{source.path}: {len(options.muscles)} muscle names for {len(source.emg)} sEMG "
            f"channels ({', '.join(source.muscles)})"
        )
    return tuple(options.muscles)


def _subject_of(stem: str) -> str:
    """Return what stands before the first underscore of a file name: SUBJECT_LOAD_SET."""
    subject, underscore, _ = stem.partition("_")
    return subject if underscore and subject else UNKNOWN_SUBJECT


def _first(*texts: str | None) -> str:
    return next((text for text in texts if text), "")
