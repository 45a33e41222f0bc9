"""From recordings to training examples: who trains and who judges, targets, chunks.

A split is made of whole recordings, days or subjects, before anything is cut out of a recording;
no chunk, normalization or statistic ever crosses it, with one exception that a user would make
too: a day nobody trained on needs an amplitude reference, which its first recording gives.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from myowave import augment
from myowave.envelope import Reference, recording_envelope
from myowave.errors import ConfigError, RecordingError
from myowave.recording import RATE_HZ, Recording
from myowave.train_config import SplitConfig, TargetConfig, TrainConfig

_FALLBACK_CALIBRATION_S = 60
# What one channel reaches in one recording can be next to nothing; in another mounting it is not.
_SMALLEST_SHARE_OF_SCALE = 0.5
_SCALE_HEADROOM = 1.25


@dataclass(frozen=True)
class Split:
    """Recordings by what they are used for; no recording is in two lists.

    Attributes
    ----------
    train, validation, test : tuple of Recording
        To learn from, to stop the training by, to judge the result by.
    """

    train: tuple[Recording, ...]
    validation: tuple[Recording, ...]
    test: tuple[Recording, ...]

    @property
    def fitted(self) -> tuple[Recording, ...]:
        """Training and validation recordings."""
        return self.train + self.validation

    def names(self) -> dict[str, list[str]]:
        """Return the names in each list."""
        return {
            part: [recording.name for recording in getattr(self, part)]
            for part in ("train", "validation", "test")
        }


@dataclass(frozen=True)
class Series:
    """One recording as the network sees it.

    Attributes
    ----------
    name : str
        Of the recording.
    imu : (n, 6) float32
        m/s² and rad/s.
    target : (n, m) float32
        Envelopes as fractions of the reference, delayed as the configuration says.
    """

    name: str
    imu: NDArray[np.float32]
    target: NDArray[np.float32]


@dataclass(frozen=True)
class Batch:
    """Training examples of one phase.

    Attributes
    ----------
    inputs : (batch, samples, 1, 6) float32
        Scaled IMU at 1 kHz.
    targets : (batch, predictions, m) float32
        Envelopes, `NetworkConfig.phases` ms apart.
    weights : (batch, predictions) float32
        0 for what lies before a recording's begin, else 1.
    """

    inputs: NDArray[np.float32]
    targets: NDArray[np.float32]
    weights: NDArray[np.float32]


def split_recordings(recordings: Sequence[Recording], config: SplitConfig, seed: int) -> Split:
    """Divide recordings as the configuration says.

    Groups not named are drawn by `seed`. The first recording of each day is drawn for training
    while there are others: it is what the day's amplitude may be calibrated on.

    Raises
    ------
    ConfigError
        If a name fits nothing, two lists overlap, nothing is left to train on, or there are too
        few recordings to hold some out where a share above 0 asks for it.
    RecordingError
        If two recordings share a name.
    """
    names = [recording.name for recording in recordings]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise RecordingError(f"two recordings are named '{twice[0]}', expected each name once")
    rng = np.random.default_rng(seed)
    groups: dict[str, list[int]] = {}
    for index, recording in enumerate(recordings):
        groups.setdefault(_group_of(recording, config.by), []).append(index)

    test = _named(config.test, "test", groups, recordings)
    if not config.test and config.test_share > 0.0:
        _require_test(len(recordings), len(groups), config)
        test = _draw(groups, set(range(len(recordings))), config.test_share, recordings, rng)
    left = set(range(len(recordings))) - test
    validation = _named(config.validation, "validation", groups, recordings)
    if both := sorted(validation & test):
        raise ConfigError(f"split: '{names[both[0]]}' is in test and in validation")
    if not config.validation and config.validation_share > 0.0:
        # To stop by, single recordings do: holding out whole days would cost too much.
        singles = {names[index]: [index] for index in sorted(left)}
        if len(left) == 1:
            raise ConfigError(
                "1 recording left to train on, expected at least 2 to hold out validation; set "
                "split.validation_share = 0 to train without"
            )
        validation = _draw(singles, left, config.validation_share, recordings, rng)
    train = left - validation
    if not train:
        raise ConfigError(
            f"split by {config.by}: {len(test)} test and {len(validation)} validation recordings "
            f"of {len(recordings)} leave none to train on"
        )

    def chosen(indices: set[int]) -> tuple[Recording, ...]:
        return tuple(recordings[index] for index in sorted(indices))

    return Split(chosen(train), chosen(validation), chosen(test))


def common_muscles(recordings: Sequence[Recording], wanted: Sequence[str]) -> tuple[str, ...]:
    """Return the muscles to predict: those wanted, or all that every recording has.

    Raises
    ------
    RecordingError
        If a recording lacks a wanted muscle, or there is none in common.
    """
    for recording in recordings:
        for muscle in wanted:
            if muscle not in recording.muscles:
                raise RecordingError(
                    f"recording '{recording.name}': no muscle '{muscle}', it has "
                    f"{', '.join(recording.muscles) or 'none'} (import with --muscle {muscle})"
                )
    if wanted:
        return tuple(wanted)
    shared = [
        muscle
        for muscle in recordings[0].muscles
        if all(muscle in recording.muscles for recording in recordings)
    ]
    if not shared:
        raise RecordingError(
            f"recordings '{recordings[0].name}' and others have no muscle in common"
        )
    return tuple(shared)


def fit_reference(split: Split, target: TargetConfig) -> Reference:
    """Measure what 1.0 is for every subject and day of a split.

    A method that calibrates (`calibration:S:P`) uses the start of the first recording of each day.
    Any other is measured on training and validation recordings alone, and on the first recording
    of a day that has none of these, with the same percentile (99 for MVC).
    """
    everyone = split.fitted + split.test
    if target.reference.startswith("calibration"):
        return Reference.fit(everyone, target.reference, target.envelope)
    reference = Reference.fit(split.fitted, target.reference, target.envelope)
    known = {(recording.subject, recording.day) for recording in split.fitted}
    unseen = [r for r in split.test if (r.subject, r.day) not in known]
    if not unseen:
        return reference
    kind, _, percentile = target.reference.partition(":")
    method = f"calibration:{_FALLBACK_CALIBRATION_S}:{percentile if kind != 'mvc' else 99}"
    return reference.merged(Reference.fit(unseen, method, target.envelope))


def to_series(
    recording: Recording, reference: Reference, target: TargetConfig, muscles: Sequence[str]
) -> Series:
    """Return a recording's IMU and normalized, delayed target."""
    envelope = recording_envelope(recording, target.envelope)
    fractions = reference.normalize(recording, envelope)
    columns = [recording.muscles.index(muscle) for muscle in muscles]
    values = fractions[:, columns].astype(np.float32)
    late = round(target.delay_ms * RATE_HZ / 1000)
    if late:
        values = np.concatenate([np.repeat(values[:1], late, axis=0), values[:-late]])
    imu = np.hstack([recording.acc, recording.gyro]).astype(np.float32)
    return Series(recording.name, imu, values)


def channel_scales(series: Sequence[Series]) -> NDArray[np.float64]:
    """Return the (6,) m/s² or rad/s that become 1.0, from training recordings.

    The 99.9th percentile of each channel, with headroom; a channel that hardly moves still gets
    half the range of the liveliest one of its sensor.
    """
    pooled = np.abs(np.concatenate([item.imu for item in series]))
    reach = np.percentile(pooled, 99.9, axis=0).reshape(2, 3)
    least = _SMALLEST_SHARE_OF_SCALE * reach.max(axis=1, keepdims=True)
    if not np.all(least > 0.0):
        raise RecordingError("accelerometer or gyroscope is zero throughout the training data")
    scales: NDArray[np.float64] = _SCALE_HEADROOM * np.maximum(reach, least).ravel()
    # Readable in the card, and far finer than a step of the input.
    return np.round(scales, 4)


def scale_imu(imu: NDArray[np.floating], scales: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return (n, 6) as the network sees it: divided by the scales, clipped as int8 clips."""
    return np.clip(imu / scales, -1.0, 1.0).astype(np.float32)


class ChunkSampler:
    """Draws augmented training examples, every recording alike often.

    Parameters
    ----------
    series : sequence of Series
        Training recordings.
    scales : (6,) array
        From `channel_scales`.
    config : TrainConfig
        Shape of the network, size of the examples, augmentation.
    rng : Generator
        Where chance comes from.
    """

    def __init__(
        self,
        series: Sequence[Series],
        scales: NDArray[np.floating],
        config: TrainConfig,
        rng: np.random.Generator,
    ) -> None:
        network, fit = config.network, config.fit
        self.series = series
        self.scales = scales
        self.augmentation = config.augment
        self.rng = rng
        self.batch = fit.batch
        self.predictions = max(1, fit.chunk_ms * RATE_HZ // 1000 // network.phases)
        self.history = network.receptive_field - 1
        self.samples = network.phase_samples(self.predictions)
        self.ends = self.history + network.phases * np.arange(self.predictions)

    def draw(self) -> Batch:
        """Return the next batch."""
        chosen = self.rng.integers(len(self.series), size=self.batch)
        examples = [self._example(self.series[index]) for index in chosen]
        inputs, targets, weights = (np.stack(part) for part in zip(*examples, strict=True))
        return Batch(inputs[:, :, None, :], targets, weights)

    def _example(
        self, series: Series
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        speed = augment.random_speed(self.augmentation, self.rng)
        last_start = len(series.imu) - 1 - (self.samples - 1) * speed
        # Starts before the recording teach the network its begin; what lies before is not judged.
        start = self.rng.uniform(min(-self.history * speed, last_start), last_start)
        wanted = start + speed * np.arange(self.samples)
        positions = np.clip(wanted, 0.0, len(series.imu) - 1.0)
        imu = augment.play(series.imu, positions, speed)
        imu = augment.remount(imu, self.augmentation, self.rng)
        scaled = augment.add_noise(scale_imu(imu, self.scales), self.augmentation, self.rng)
        nearest = np.rint(positions[self.ends]).astype(np.intp)
        weights = (wanted[self.ends] >= 0.0).astype(np.float32)
        return scaled, series.target[nearest], weights


def _require_test(count: int, groups: int, config: SplitConfig) -> None:
    """Refuse too few groups to hold one out for test."""
    if groups >= 2:
        return
    found = f"{count} recording{'' if count == 1 else 's'}"
    least, parts, remedy = "at least 2", "test", "split.test_share = 0"
    if config.by != "recording":
        found += f" of {groups} {config.by}"
        least += f" {config.by}s"
        remedy = f"split.by = 'recording' to divide them, or {remedy}"
    elif not config.validation and config.validation_share > 0.0:
        least, parts = "at least 3", "validation and test"
        remedy += " and validation_share = 0"
    raise ConfigError(
        f"{found}, expected {least} to hold out {parts}; set {remedy} to train without"
    )


def _group_of(recording: Recording, by: str) -> str:
    return {
        "recording": recording.name,
        "day": f"{recording.subject}/{recording.day}",
        "subject": recording.subject,
    }[by]


def _named(
    wanted: Sequence[str],
    part: str,
    groups: dict[str, list[int]],
    recordings: Sequence[Recording],
) -> set[int]:
    """Return the recordings of the groups wanted; a recording's own name always works too."""
    singles = {recording.name: [index] for index, recording in enumerate(recordings)}
    indices: set[int] = set()
    for name in wanted:
        found = groups.get(name) or singles.get(name)
        if found is None:
            raise ConfigError(
                f"split.{part} '{name}': no such recording or group, expected one of "
                f"{', '.join(sorted(groups))}"
            )
        indices.update(found)
    return indices


def _draw(
    groups: dict[str, list[int]],
    allowed: set[int],
    share: float,
    recordings: Sequence[Recording],
    rng: np.random.Generator,
) -> set[int]:
    """Draw a share of the groups, at least one, but never all."""
    names = [name for name, members in sorted(groups.items()) if allowed.issuperset(members)]
    if len(names) < 2:
        return set()
    firsts = _first_of_days(recordings)
    names = [str(name) for name in rng.permutation(names)]
    names.sort(key=lambda name: any(index in firsts for index in groups[name]))
    count = min(max(1, round(share * len(names))), len(names) - 1)
    return {index for name in names[:count] for index in groups[name]}


def _first_of_days(recordings: Sequence[Recording]) -> set[int]:
    first: dict[tuple[str, str], int] = {}

    def when(index: int) -> tuple[str, str]:
        return str(recordings[index].provenance.get("recorded", "")), recordings[index].name

    for index in sorted(range(len(recordings)), key=when):
        first.setdefault((recordings[index].subject, recordings[index].day), index)
    return set(first.values())
