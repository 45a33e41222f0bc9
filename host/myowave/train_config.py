"""What a training run is told: every choice in one tree of dataclasses, read from TOML.

The defaults were mostly chosen on held-out days of real biceps curls; `train.ARCHITECTURE_NOTE` and
the README say what was chosen knowing the figures reported. A file names only what it changes:

    seed = 7

    [network]
    channels = 24

    [split]
    by = "subject"
    test = ["P714"]
"""

import dataclasses
import math
import tomllib
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from myowave.envelope import EnvelopeConfig
from myowave.errors import ConfigError
from myowave.imu import DEFAULT_IMU, imu_by_name

INPUTS = 6

# A minute: longer than any movement, and than most recordings.
_LONGEST_RECEPTIVE_FIELD = 60_000
# Milliseconds of predictions in one batch; the default recipe has 65 536.
_LARGEST_BATCH_MS = 4_000_000
_LARGEST_SEED = 2**31 - 1

_Config = TypeVar("_Config")


@dataclass(frozen=True)
class NetworkConfig:
    """Shape of the gated WaveNet (van den Oord et al., arXiv 1609.03499, section 2).

    Attributes
    ----------
    channels, skip_channels, head_channels : int
        Width of the residual path, of the skip path and of the hidden layer behind it.
    front_kernel : int
        Samples the first convolution sees. It makes the smooth signal the dilated convolutions
        pick from, and keeps their strides from aliasing vibration.
    kernel : int
        Taps of each dilated convolution.
    dilations : tuple of int
        One gated block each, in samples. When all are multiples of a number p, the network is p
        interleaved networks of a p-th of the rate, and training computes one of them at a time.
    gate_convolutions : int
        1: filter and gate from one convolution; 2: from one each.
    residual, skip : bool
        Whether blocks add their input to their output, and whether the head sees every block or
        the last one only.
    dropout : float
        Share of a block's channels that training silences in one example.
    """

    channels: int = 16
    skip_channels: int = 16
    head_channels: int = 16
    front_kernel: int = 16
    kernel: int = 2
    dilations: tuple[int, ...] = (16, 32, 64, 128, 256, 512, 1024)
    gate_convolutions: int = 1
    residual: bool = True
    skip: bool = True
    dropout: float = 0.1

    def __post_init__(self) -> None:
        """Refuse shapes that no network has."""
        # Far beyond what a microcontroller runs; larger ones end in a lack of memory.
        for name in ("channels", "skip_channels", "head_channels", "front_kernel"):
            _between(f"network.{name}", getattr(self, name), 1, 256)
        _between("network.kernel", self.kernel, 1, 64)
        if not 1 <= len(self.dilations) <= 64:
            raise ConfigError(f"network.dilations: {len(self.dilations)} blocks, expected 1 to 64")
        for dilation in self.dilations:
            _between("network.dilations", dilation, 1, 4096)
        if self.receptive_field > _LONGEST_RECEPTIVE_FIELD:
            raise ConfigError(
                f"network: receptive field of {self.receptive_field} samples, expected at most "
                f"{_LONGEST_RECEPTIVE_FIELD}; choose a smaller kernel or fewer dilations"
            )
        if self.gate_convolutions not in (1, 2):
            raise ConfigError(
                f"network.gate_convolutions {self.gate_convolutions}: expected 1 or 2"
            )
        _between("network.dropout", self.dropout, 0.0, 0.9)

    @property
    def receptive_field(self) -> int:
        """Samples one prediction depends on."""
        return self.front_kernel + (self.kernel - 1) * sum(self.dilations)

    @property
    def phases(self) -> int:
        """Number of interleaved networks this one consists of."""
        return math.gcd(*self.dilations)

    def phase_samples(self, predictions: int) -> int:
        """Return how many 1 kHz samples that many predictions of one phase depend on."""
        return self.receptive_field + (predictions - 1) * self.phases


@dataclass(frozen=True)
class TargetConfig:
    """What the network learns to predict.

    Attributes
    ----------
    muscles : tuple of str
        Which, in the order of the outputs; empty: all that every recording has.
    envelope : EnvelopeConfig
        Filters of the envelope.
    delay_ms : int
        How much later than the envelope the network predicts it: later is easier, and slower.
    reference : str
        What 1.0 is, as `envelope.Reference` names it. The default takes the 99th percentile of
        the first recording of a subject's day and nothing of the others.
    """

    muscles: tuple[str, ...] = ()
    envelope: EnvelopeConfig = field(default_factory=EnvelopeConfig)
    delay_ms: int = 0
    reference: str = "calibration:60:99"

    def __post_init__(self) -> None:
        """Refuse a prediction of the future."""
        _between("target.delay_ms", self.delay_ms, 0, 10_000)


@dataclass(frozen=True)
class SplitConfig:
    """Which recordings train, stop the training and judge it; never a window across.

    Attributes
    ----------
    by : str
        `recording`, `day` (a subject's day) or `subject`: what stays together.
    test, validation : tuple of str
        Names of recordings, `SUBJECT/DAY` or subjects. Empty: chosen by seed, as many as
        `test_share` and `validation_share` of the groups ask for, at least one.
    test_share, validation_share : float
        Share of the groups (test), and of the recordings left (validation), where none are named.
        A share of 0 asks for none: without validation the training goes on to the last step,
        without test nothing judges it.
    verdicts : tuple of str
        Recordings of which `inspect` says something else are left out altogether: an artifact in
        the sEMG is a wrong target, to learn from or to be judged by.
    """

    by: str = "recording"
    test: tuple[str, ...] = ()
    validation: tuple[str, ...] = ()
    test_share: float = 0.2
    validation_share: float = 0.15
    verdicts: tuple[str, ...] = ("ok",)

    def __post_init__(self) -> None:
        """Refuse unknown groupings."""
        if self.by not in ("recording", "day", "subject"):
            raise ConfigError(f"split.by '{self.by}': expected recording, day or subject")
        for verdict in self.verdicts:
            if verdict not in ("ok", "artifact", "exclude"):
                raise ConfigError(f"split.verdicts '{verdict}': expected ok, artifact or exclude")
        _between("split.test_share", self.test_share, 0.0, 0.9)
        _between("split.validation_share", self.validation_share, 0.0, 0.9)


@dataclass(frozen=True)
class AugmentConfig:
    """Small changes of an example that leave the muscle's activity as it was.

    Attributes
    ----------
    rotation_z_rad, tilt_rad : float
        Standard deviation of the mounting rotation about the forearm's normal (Z) and about the
        other two axes.
    time_stretch : float
        Largest change of speed, as the logarithm of a factor; angular rates follow.
    acc_gain, gyro_gain : float
        Standard deviation of a sensor's gain error.
    noise : float
        Standard deviation of white noise on each channel, as a fraction of its scale.
    """

    rotation_z_rad: float = 0.1
    tilt_rad: float = 0.05
    time_stretch: float = 0.5
    acc_gain: float = 0.0
    gyro_gain: float = 0.0
    noise: float = 0.0

    def __post_init__(self) -> None:
        """Refuse negative spreads."""
        for name in ("rotation_z_rad", "tilt_rad", "time_stretch", "acc_gain", "gyro_gain"):
            _between(f"augment.{name}", getattr(self, name), 0.0, 1.0)
        _between("augment.noise", self.noise, 0.0, 10.0)


@dataclass(frozen=True)
class FitConfig:
    """The optimisation.

    Attributes
    ----------
    steps : int
        Batches at most.
    batch, chunk_ms : int
        Examples a batch, and milliseconds of predictions an example.
    learning_rate, weight_decay : float
        Of AdamW (Loshchilov & Hutter, arXiv 1711.05101), warmed up over 50 steps and then lowered
        along a half cosine to a twentieth.
    averaging : float
        Decay of the exponential average of the weights that is evaluated and exported.
    peak_weight : float
        How much more an error at envelope 1.0 counts than one at rest.
    gain_tolerance : float
        The load in the hand scales the envelope of a whole set and is not in the IMU signal. An
        example can be compared after the best gain from 1 / (1 + t) to 1 + t, so that the network
        learns the shape and the usual size, not an average of sizes. 0 compares plainly.
    peak_share : float
        The size predictions are given at last, from 0, the one of least squared error, to 1, the
        one at which their 99th percentile is the recorded one: what cannot be predicted is missing
        from the peaks, and every gain that gives it back costs R².
    evaluate_every, patience : int
        Steps between evaluations on the validation recordings, and evaluations without a better
        one before training stops.
    refit : bool
        Whether to train again on training and validation recordings together, for as many steps
        as were best on validation.
    seeds : int
        Networks trained from successive seeds; the best on validation is kept.
    """

    steps: int = 500
    batch: int = 16
    chunk_ms: int = 4096
    learning_rate: float = 3e-3
    weight_decay: float = 1e-4
    averaging: float = 0.99
    peak_weight: float = 0.0
    gain_tolerance: float = 0.0
    peak_share: float = 0.8
    evaluate_every: int = 25
    patience: int = 8
    refit: bool = True
    seeds: int = 1

    def __post_init__(self) -> None:
        """Refuse values no training can use."""
        for name in ("steps", "evaluate_every", "patience"):
            _between(f"fit.{name}", getattr(self, name), 1, 1_000_000)
        _between("fit.batch", self.batch, 1, 1024)
        _between("fit.chunk_ms", self.chunk_ms, 1, 60_000)
        if self.batch * self.chunk_ms > _LARGEST_BATCH_MS:
            raise ConfigError(
                f"fit.batch {self.batch} with fit.chunk_ms {self.chunk_ms}: expected a product of "
                f"at most {_LARGEST_BATCH_MS}"
            )
        _between("fit.seeds", self.seeds, 1, 100)
        if not 0.0 < self.learning_rate <= 1.0:
            raise ConfigError(
                f"fit.learning_rate {self.learning_rate}: expected more than 0, at most 1"
            )
        _between("fit.weight_decay", self.weight_decay, 0.0, 10.0)
        _between("fit.averaging", self.averaging, 0.0, 0.9999)
        _between("fit.peak_weight", self.peak_weight, 0.0, 100.0)
        _between("fit.peak_share", self.peak_share, 0.0, 1.0)
        _between("fit.gain_tolerance", self.gain_tolerance, 0.0, 100.0)


@dataclass(frozen=True)
class ExportConfig:
    """The int8 export.

    Attributes
    ----------
    imu : str
        Part the firmware reads; the card holds the integer scaling for its counts.
    representative_windows : int
        Windows that calibrate the activations' ranges.
    verification_windows : int
        Windows on which tflite-micro must equal TFLite's reference kernels.
    """

    imu: str = DEFAULT_IMU
    representative_windows: int = 300
    verification_windows: int = 32

    def __post_init__(self) -> None:
        """Refuse an unknown IMU before anything is trained."""
        imu_by_name(self.imu)
        _between("export.representative_windows", self.representative_windows, 2, 10_000)
        _between("export.verification_windows", self.verification_windows, 4, 10_000)


@dataclass(frozen=True)
class TrainConfig:
    """Everything one training run depends on besides its recordings.

    Attributes
    ----------
    name, note : str
        Of the model, for its card; the name defaults to that of its folder.
    seed : int
        Of the split, the weights and the examples.
    threads : int
        Threads TensorFlow may use; 0: all cores. Results depend on it in the last digits.
    """

    name: str = ""
    note: str = ""
    seed: int = 0
    threads: int = 0
    network: NetworkConfig = field(default_factory=NetworkConfig)
    target: TargetConfig = field(default_factory=TargetConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    fit: FitConfig = field(default_factory=FitConfig)
    export: ExportConfig = field(default_factory=ExportConfig)

    def __post_init__(self) -> None:
        """Refuse seeds and threads TensorFlow cannot use."""
        _between("seed", self.seed, 0, _LARGEST_SEED)
        _between("threads", self.threads, 0, 1024)


def load_config(path: Path) -> TrainConfig:
    """Read a training configuration from TOML.

    Raises
    ------
    ConfigError
        If the file is absent or no TOML, or holds an unknown key, a value of the wrong type or
        one out of range; the message names the file and the key.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from None
    try:
        return config_from_dict(values)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def config_from_dict(values: dict[str, Any]) -> TrainConfig:
    """Build a configuration from nested dictionaries; raise ConfigError as `load_config` does."""
    return _build(TrainConfig, values, "")


def config_to_dict(config: TrainConfig | NetworkConfig | EnvelopeConfig) -> dict[str, Any]:
    """Return a configuration as JSON-able nested dictionaries.

    `config_from_dict` reads a whole one back. What is None is left out, as it is in TOML.
    """

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items() if item is not None}
        return [plain(item) for item in value] if isinstance(value, tuple) else value

    result: dict[str, Any] = plain(dataclasses.asdict(config))
    return result


def _build(kind: type[_Config], values: dict[str, Any], where: str) -> _Config:
    hints = typing.get_type_hints(kind)
    names = [item.name for item in dataclasses.fields(kind)]  # type: ignore[arg-type]
    for key in values:
        if key not in names:
            raise ConfigError(f"unknown key '{where}{key}', expected one of {', '.join(names)}")
    return kind(**{key: _convert(hints[key], value, where + key) for key, value in values.items()})


def _convert(kind: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        if not isinstance(value, dict):
            raise ConfigError(f"{where} {value!r}: expected a table of keys")
        return _build(kind, value, where + ".")
    if isinstance(kind, types.UnionType):
        (kind,) = (option for option in typing.get_args(kind) if option is not type(None))
    if typing.get_origin(kind) is tuple:
        if not isinstance(value, list):
            raise ConfigError(f"{where} {value!r}: expected a list")
        kinds = typing.get_args(kind)
        if kinds[-1] is not Ellipsis and len(kinds) != len(value):
            raise ConfigError(f"{where} {value!r}: expected {len(kinds)} values")
        return tuple(_convert(kinds[0], item, where) for item in value)
    # TOML's 1 is a fine float; its true is no number.
    accepted = (int, float) if kind is float else (kind,)
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        raise ConfigError(f"{where} {value!r}: expected {kind.__name__}")
    if kind is float and not math.isfinite(value):
        raise ConfigError(f"{where} {value!r}: expected a finite number")
    return kind(value)


def _between(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ConfigError(f"{name} {value}: expected {low:.10g} to {high:.10g}")
