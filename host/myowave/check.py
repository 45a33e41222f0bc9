"""Replay recordings through backends: do they agree to the bit, and how good is the prediction?

Parity is with tflite-micro, the definition of what the int8 model means. Where the oracle is among
the backends asked for, every sample of the others is compared with it. Where it is not, the first
backend stands in for it: every sample of the others is compared with that. The one that all are
compared with is itself compared, on a spread of single windows, with tflite-micro running the model
exactly as it is, so that no figure is ever of a backend against itself.
"""

import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myowave.backends import is_port, require_known, run_int8
from myowave.baselines import Baselines, load_baselines, swapped_imu
from myowave.dataset import common_muscles, to_series
from myowave.envelope import Reference
from myowave.errors import ConfigError, ParityError, RecordingError
from myowave.imu import imu_by_name, to_counts
from myowave.metrics import Figures, accuracy, accuracy_with_gain, median_figures
from myowave.model_card import ModelCard
from myowave.orientation import OrientationReference, align, estimate
from myowave.readers import ReadOptions, find_sources, read
from myowave.recording import Recording
from myowave.train_config import config_from_dict

Progress = Callable[[str], None]
Int8 = NDArray[np.int8]
SPOT_WINDOWS = 16
# How a day the model was not trained on gets its reference: from the day's first recording.
CALIBRATION = "calibration:60:99"


@dataclass(frozen=True)
class Difference:
    """The first sample at which a backend and the oracle differ.

    Attributes
    ----------
    recording : str
        Name of the recording.
    sample : int
        Index of the 1 kHz sample.
    got, expected : list of int
        int8 outputs of the backend and of what it was compared with.
    inputs : list of int
        int8 input of that sample.
    reference : str
        What it was compared with.
    """

    recording: str
    sample: int
    got: list[int]
    expected: list[int]
    inputs: list[int]
    reference: str

    def __str__(self) -> str:
        """Say where and what, in one line."""
        return (
            f"recording '{self.recording}', sample {self.sample}: {self.got}, "
            f"{self.reference} gives {self.expected}, input {self.inputs}"
        )


@dataclass
class Parity:
    """How one backend compares with tflite-micro, over all recordings.

    Attributes
    ----------
    samples : int
        Samples compared; warm-up samples are not.
    mismatches : int
        Samples at which any output differs.
    max_abs_diff : int
        Largest difference of an output, in int8 steps.
    first : Difference or None
        The first difference.
    """

    samples: int = 0
    mismatches: int = 0
    max_abs_diff: int = 0
    first: Difference | None = None

    def add(
        self,
        recording: str,
        *,
        samples: NDArray[np.intp],
        got: Int8,
        expected: Int8,
        inputs: Int8,
        reference: str = "tflite-micro",
    ) -> None:
        """Count the rows of `got` against those of `expected`, which belong to `samples`."""
        steps = np.abs(got.astype(np.int16) - expected.astype(np.int16)).max(axis=1)
        wrong = np.flatnonzero(steps)
        self.samples += len(samples)
        self.mismatches += len(wrong)
        if len(wrong):
            self.max_abs_diff = max(self.max_abs_diff, int(steps.max()))
            if self.first is None:
                at = int(wrong[0])
                self.first = Difference(
                    recording,
                    int(samples[at]),
                    got[at].tolist(),
                    expected[at].tolist(),
                    inputs[int(samples[at])].tolist(),
                    reference,
                )

    def to_json(self) -> dict[str, Any]:
        """Return the figures as `check --json` names them."""
        figures: dict[str, Any] = {
            "samples": self.samples,
            "mismatches": self.mismatches,
            "max_abs_diff": self.max_abs_diff,
        }
        if self.first is not None:
            figures["first"] = vars(self.first)
        return figures


@dataclass
class Replay:
    """What the backends predicted for one recording.

    Attributes
    ----------
    recording : Recording
        What was replayed.
    counts : (n, 6) int16
        Raw IMU counts that went in.
    predictions : (n, outputs) int8
        What every backend agreed on (or the first one gave, where they do not).
    envelope : (n, outputs) float64
        The predictions as fractions of the reference.
    """

    recording: Recording
    counts: NDArray[np.int16]
    predictions: Int8
    envelope: NDArray[np.float64]

    def shown(self, receptive_field: int) -> NDArray[np.float64]:
        """Return the envelope with NaN for the warm-up, as a picture wants it."""
        shown = self.envelope.copy()
        shown[: receptive_field - 1] = np.nan
        return shown


@dataclass
class ReplayResult:
    """Every replay, and every backend's parity."""

    replays: list[Replay] = field(default_factory=list)
    parity: dict[str, Parity] = field(default_factory=dict)

    @property
    def simulated(self) -> bool:
        """Whether any of the recordings is simulated."""
        return any(item.recording.provenance.get("simulated", False) for item in self.replays)

    def require_parity(self) -> None:
        """Raise ParityError that tells the first differing sample and its input."""
        for backend, parity in self.parity.items():
            if parity.first is not None:
                raise ParityError(
                    f"backend {backend}: {parity.mismatches} of {parity.samples} samples differ; "
                    f"first: {parity.first}"
                )


def load_recordings(
    paths: Sequence[Path],
    card: ModelCard,
    *,
    muscles: Sequence[str] = (),
    as_worn: bool = False,
) -> list[Recording]:
    """Read recordings and turn each sensor the way the model's training recordings had it.

    `muscles` names the sEMG channels of source files in order, where those have other names.
    With `as_worn` nothing is turned: the counts are those a board was fed, and a sensor worn the
    other way round shows in the accuracy.

    Raises
    ------
    RecordingError
        If a path holds no recording.
    """
    options = ReadOptions(muscles=tuple(muscles) or None)
    recordings = [read(path, options) for path in find_sources(paths)]
    names = [recording.name for recording in recordings]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        # The baseline of another trial's IMU would be the trial's own.
        raise RecordingError(f"two recordings are named '{twice[0]}', expected each name once")
    if card.orientation is None or as_worn:
        return recordings
    return align(recordings, OrientationReference.from_json(card.orientation))


def worn_otherwise(recordings: Sequence[Recording], card: ModelCard) -> dict[str, str]:
    """Return the turn (`orientation.TURNS`) of each recording whose sensor sat otherwise.

    A board computes from what its sensor gives; a sensor turned against those of the training
    recordings makes its predictions worthless.
    """
    if card.orientation is None:
        return {}
    found = estimate(recordings, OrientationReference.from_json(card.orientation))
    return {
        recording.name: orientation.turn
        for recording, orientation in zip(recordings, found, strict=True)
        if orientation.turn != "none"
    }


def replay(
    card: ModelCard,
    tflite: bytes,
    recordings: Sequence[Recording],
    backends: Sequence[str],
    progress: Progress | None = None,
) -> ReplayResult:
    """Run recordings through every backend and compare each with tflite-micro.

    Parameters
    ----------
    card, tflite : ModelCard, bytes
        The model directory's content.
    recordings : sequence of Recording
        What to replay; each longer than the receptive field.
    backends : sequence of str
        Names of `myowave.backends`, or ports of boards that answer replayed raw counts.
    progress : callable, optional
        Called with a line of text before each piece of work.

    Raises
    ------
    ConfigError
        If a backend is unknown, none is given, or a recording is too short.
    """
    if not backends:
        raise ConfigError("no backend given, expected at least one, such as 'native'")
    for backend in backends:
        require_known(backend)
    for recording in recordings:
        if recording.n_samples <= card.receptive_field:
            raise ConfigError(
                f"recording '{recording.name}': {recording.n_samples} samples, expected more than "
                f"the model's receptive field of {card.receptive_field}"
            )
    tell = progress or (lambda _line: None)
    result = ReplayResult(parity={backend: Parity() for backend in backends})
    imu = imu_by_name(card.imu)
    scaling = card.input_scaling()
    for number, recording in enumerate(recordings, start=1):
        counts = to_counts(recording.acc, recording.gyro, imu)
        inputs = scaling.apply(counts)
        outputs: dict[str, Int8] = {}
        for backend in backends:
            tell(f"{recording.name} ({number} of {len(recordings)}) on {backend}")
            outputs[backend] = (
                _run_on_port(backend, card, counts)
                if is_port(backend)
                else run_int8(backend, tflite, inputs)
            )
        _compare(result.parity, card, tflite, name=recording.name, inputs=inputs, outputs=outputs)
        predictions = outputs[backends[0]]
        result.replays.append(Replay(recording, counts, predictions, card.envelope_of(predictions)))
    return result


def add_log(result: ReplayResult, card: ModelCard, tflite: bytes, path: Path) -> None:
    """Check what a board logged while it was fed one of the replayed recordings.

    The backend `log` is added to the parity, compared with tflite-micro over every stretch between
    gaps, on the raw counts in the log, put right as the board did. The replay of the recording is
    replaced by what the board predicted live, so that the accuracy is that of the log.

    Parameters
    ----------
    result : ReplayResult
        From `replay`, with one recording.
    card, tflite : ModelCard, bytes
        The model directory's content.
    path : Path
        Log made by `myowave log --raw`.

    Raises
    ------
    RecordingError
        If the log is no log, holds no raw counts or too few samples, or its counts are not those
        of the recording.
    ConfigError
        If the log is of another model, or there is not exactly one recording.
    """
    from myowave.log import read_log

    log = read_log(path)
    if len(result.replays) != 1:
        raise ConfigError(
            f"{path}: a log is checked against the one recording it was made from, "
            f"{len(result.replays)} given"
        )
    if log.identity is None or log.identity.model_sha256 != card.tflite_sha256:
        found = "an unknown model" if log.identity is None else log.identity.model_sha256[:12]
        raise ConfigError(f"{path}: logged from {found}, expected {card.tflite_sha256[:12]}")
    if not np.any(log.has_counts):
        raise RecordingError(f"{path}: no raw counts; log with 'myowave log --raw'")
    replayed = result.replays[0]
    recording = replayed.recording
    warm_up = card.receptive_field - 1
    parity = result.parity.setdefault("log", Parity())
    longest = slice(0, 0)
    for rows in _stretches(log.run, log.tick, log.missing, log.has_counts):
        ticks = log.tick[rows]
        if ticks[-1] >= len(replayed.counts) or not np.array_equal(
            log.counts[rows], replayed.counts[ticks]
        ):
            raise RecordingError(
                f"{path}: the raw counts logged at tick {ticks[0]} are not those of recording "
                f"'{recording.name}'; the board was fed another one"
            )
        # What came before a stretch is not in the log: a row counts once the stretch alone
        # reaches back far enough.
        settled = np.arange(warm_up, len(ticks), dtype=np.intp)
        if not len(settled):
            continue
        inputs = card.input_scaling().apply(log.corrected[rows])
        parity.add(
            recording.name,
            samples=settled,
            got=log.predictions[rows][settled],
            expected=run_int8("tflm", tflite, inputs)[settled],
            inputs=inputs,
        )
        longest = max(longest, rows, key=lambda part: part.stop - part.start)
    if not parity.samples:
        raise RecordingError(
            f"{path}: nowhere {card.receptive_field} samples in a row, nothing to check"
        )
    # Figures over a hole would be of nothing: the accuracy is that of the longest stretch.
    span = slice(int(log.tick[longest][0]), int(log.tick[longest][-1]) + 1)
    result.replays[0] = Replay(
        dataclasses.replace(
            recording,
            acc=recording.acc[span],
            gyro=recording.gyro[span],
            emg=recording.emg[span],
            name=f"{recording.name} (live)",
        ),
        replayed.counts[span],
        log.predictions[longest],
        card.envelope_of(log.predictions[longest]),
    )


def _stretches(
    run: NDArray[np.int64],
    tick: NDArray[np.int64],
    missing: NDArray[np.int64],
    has_counts: NDArray[np.bool_],
) -> Iterator[slice]:
    """Yield the rows of a log between starts, gaps and samples without raw counts."""
    broken = (np.diff(run) != 0) | (np.diff(tick) != 1) | (missing[1:] != 0)
    broken |= ~(has_counts[1:] & has_counts[:-1])
    edges = np.concatenate([[0], np.flatnonzero(broken) + 1, [len(tick)]])
    for begin, end in itertools.pairwise(edges.tolist()):
        if has_counts[begin]:
            yield slice(begin, end)


def _compare(
    parity: dict[str, Parity],
    card: ModelCard,
    tflite: bytes,
    *,
    name: str,
    inputs: Int8,
    outputs: dict[str, Int8],
) -> None:
    """Compare each backend's outputs with the oracle's, all of them or a spread of windows."""
    from myowave.tflm import run_tflm_windows

    first = card.receptive_field - 1
    ends = np.unique(np.linspace(first, len(inputs) - 1, SPOT_WINDOWS).astype(np.intp))
    windows = run_tflm_windows(tflite, inputs, ends)
    every = np.arange(first, len(inputs), dtype=np.intp)
    reference = "tflm" if "tflm" in outputs else next(iter(outputs))
    for backend, got in outputs.items():
        if backend == reference:
            parity[backend].add(name, samples=ends, got=got[ends], expected=windows, inputs=inputs)
        else:
            parity[backend].add(
                name,
                samples=every,
                got=got[every],
                expected=outputs[reference][every],
                inputs=inputs,
                reference=reference,
            )


def _run_on_port(url: str, card: ModelCard, counts: NDArray[np.int16]) -> Int8:
    """Let the board at `url` answer `counts`, after making sure it runs this model."""
    from myowave.link import Device

    with Device.open(url) as device:
        device.require_model(card.tflite_sha256)
        return device.replay(counts)


@dataclass
class MuscleAccuracy:
    """Figures of one muscle over all recordings.

    Attributes
    ----------
    of_recordings : dict of str to Figures
        As predicted, by recording.
    with_gain : dict of str to Figures
        After one gain fitted on the first two repetitions, by recording.
    baselines : dict of str to dict of str to Figures
        The same as `of_recordings` for each baseline that can be computed.
    baselines_with_gain : dict of str to dict of str to Figures
        The same as `with_gain` for each baseline.
    """

    of_recordings: dict[str, Figures] = field(default_factory=dict)
    with_gain: dict[str, Figures] = field(default_factory=dict)
    baselines: dict[str, dict[str, Figures]] = field(default_factory=dict)
    baselines_with_gain: dict[str, dict[str, Figures]] = field(default_factory=dict)


@dataclass
class Accuracy:
    """How good the predictions are, beside the recorded EMG and the baselines.

    Attributes
    ----------
    muscles : dict of str to MuscleAccuracy
        By muscle.
    recorded : dict of str to (n, muscles) array
        The recorded envelopes, as fractions of the reference, by recording.
    calibrated_on : tuple of str
        Recordings among those judged on which a day's reference had to be measured, because the
        model card has none for that subject and day.
    """

    muscles: dict[str, MuscleAccuracy] = field(default_factory=dict)
    recorded: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    calibrated_on: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return medians over recordings, and every recording's figures, as `check --json` does."""

        def medians(rows: dict[str, Figures]) -> Figures:
            return median_figures(list(rows.values()))

        names = dict.fromkeys(name for muscle in self.muscles.values() for name in muscle.baselines)
        return {
            "accuracy": {name: medians(m.of_recordings) for name, m in self.muscles.items()},
            "accuracy_with_gain": {name: medians(m.with_gain) for name, m in self.muscles.items()},
            "baselines": {
                baseline: {
                    name: medians(m.baselines[baseline])
                    for name, m in self.muscles.items()
                    if baseline in m.baselines
                }
                for baseline in names
            },
            "recordings": {
                name: {"accuracy": m.of_recordings, "accuracy_with_gain": m.with_gain}
                for name, m in self.muscles.items()
            },
            "reference_measured_on": list(self.calibrated_on),
        }


def judge(
    card: ModelCard,
    tflite: bytes,
    replays: Sequence[Replay],
    baselines: Baselines | None = None,
) -> Accuracy:
    """Compare predictions with the recorded EMG; recordings without EMG are left out.

    Parameters
    ----------
    card, tflite : ModelCard, bytes
        The model directory's content.
    replays : sequence of Replay
        From `replay`.
    baselines : Baselines, optional
        The fitted ones of the model directory; without them only the swapped IMU is compared.

    Raises
    ------
    ConfigError, RecordingError
        If the card's configuration does not hold, or a recorded envelope is constant.
    """
    judged = [item for item in replays if item.recording.emg.shape[1]]
    if not judged:
        return Accuracy()
    common_muscles([item.recording for item in judged], card.muscles)
    target = config_from_dict(card.training["config"]).target
    known = Reference.from_json(card.normalization)
    unseen = [
        item.recording
        for item in judged
        if any(
            (item.recording.subject, item.recording.day, muscle) not in known.values_mv
            for muscle in card.muscles
        )
    ]
    reference = known
    calibrated_on: tuple[str, ...] = ()
    if unseen:
        method = target.reference if target.reference.startswith("calibration") else CALIBRATION
        measured = Reference.fit(unseen, method, known.envelope)
        reference, calibrated_on = known.merged(measured), measured.recordings
    result = Accuracy(
        muscles={muscle: MuscleAccuracy() for muscle in card.muscles}, calibrated_on=calibrated_on
    )
    series = [to_series(item.recording, reference, target, card.muscles) for item in judged]
    for index, (item, truth) in enumerate(zip(judged, series, strict=True)):
        predicted: dict[str, NDArray[np.floating]] = {}
        if baselines is not None:
            predicted["ridge"] = baselines.predict_ridge(truth.imu)
        swapped = swapped_imu([other.counts.astype(np.float64) for other in judged], index).astype(
            np.int16
        )
        predicted["swap"] = card.envelope_of(
            run_int8("native", tflite, card.input_scaling().apply(swapped))
        )
        if baselines is not None:
            predicted["mean_curve"] = baselines.predict_mean_curve(len(truth.target))
        name = item.recording.name
        result.recorded[name] = truth.target
        # The warm-up is no prediction of anything.
        rows = slice(card.receptive_field - 1, None)
        for column, muscle in enumerate(card.muscles):
            recorded = truth.target[rows, column]
            row = result.muscles[muscle]
            row.of_recordings[name] = accuracy(item.envelope[rows, column], recorded)
            # Too short a set has no repetitions left after the two that calibrate it.
            with contextlib.suppress(RecordingError):
                row.with_gain[name] = accuracy_with_gain(item.envelope[rows, column], recorded)
            for baseline, values in predicted.items():
                row.baselines.setdefault(baseline, {})[name] = accuracy(
                    values[rows, column], recorded
                )
                with contextlib.suppress(RecordingError):
                    row.baselines_with_gain.setdefault(baseline, {})[name] = accuracy_with_gain(
                        values[rows, column], recorded
                    )
    return result


def baselines_of(path: Path) -> Baselines | None:
    """Return the baselines stored beside a model, or None where there are none."""
    return load_baselines(path) if path.exists() else None
