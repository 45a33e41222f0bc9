"""The model card, `model.json`: what a model is, for people and for the programs that run it."""

import contextlib
import dataclasses
import hashlib
import json
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myowave.errors import ModelError, MyowaveError
from myowave.imu import IMU_CHANNELS, imu_by_name
from myowave.paths import MODEL_VARIABLE, REPOSITORY
from myowave.recording import RATE_HZ
from myowave.scaling import InputScaling, input_scaling

FORMAT_VERSION = 1
CARD_FILE = "model.json"
TFLITE_FILE = "model.tflite"
KERAS_FILE = "model.keras"
BASELINES_FILE = "baselines.npz"


@dataclass(frozen=True)
class ModelCard:
    """Everything that is true of one exported model.

    Attributes
    ----------
    name, note : str
        Of the model; the note says what a reader must know, such as that its data are simulated.
    channel_scale : tuple of float
        m/s² (first three) or rad/s that the float network sees as 1.0.
    imu : str
        Part the integer scaling is for, a name of `imu.IMUS`.
    input_scale, input_zero_point, output_scale, output_zero_point : float, int
        Quantization of the network's input and output tensors.
    input_multipliers, input_shift : tuple of int, int
        The integer form of the input's scaling (`scaling.InputScaling`).
    muscles : tuple of str
        One an output.
    normalization : dict
        What 1.0 is, as `envelope.Reference.to_json` writes it.
    target : dict
        Filters of the envelope, `filter_delay_ms` they add and `delay_ms` the network was told to
        predict later than the envelope.
    receptive_field : int
        Samples one prediction depends on; the first receptive_field - 1 are warm-up.
    architecture : dict
        Shape of the network and why it was chosen.
    training : dict
        Files, split, seed, whether the data are simulated, steps, configuration.
    metrics, baselines : dict
        Figures on the test recordings.
    orientation : dict or None
        How the training recordings' sensors sat (`orientation.OrientationReference`).
    channels, units, rate_hz, axis_order : tuple of str, tuple of str, int, str
        What the input holds, one row a sample.
    tflite_sha256 : str
        Of `model.tflite`.
    """

    name: str
    channel_scale: tuple[float, ...]
    imu: str
    input_scale: float
    input_zero_point: int
    output_scale: float
    output_zero_point: int
    input_multipliers: tuple[int, ...]
    input_shift: int
    muscles: tuple[str, ...]
    normalization: dict[str, Any]
    target: dict[str, Any]
    receptive_field: int
    architecture: dict[str, Any]
    training: dict[str, Any]
    metrics: dict[str, Any]
    baselines: dict[str, Any]
    tflite_sha256: str
    orientation: dict[str, Any] | None = None
    note: str = ""
    channels: tuple[str, ...] = IMU_CHANNELS
    units: tuple[str, ...] = ("m/s^2",) * 3 + ("rad/s",) * 3
    rate_hz: int = RATE_HZ
    axis_order: str = "xyz"
    format_version: int = field(default=FORMAT_VERSION)

    @property
    def simulated(self) -> bool:
        """Whether the model was trained on simulated recordings."""
        return bool(self.training.get("simulated", False))

    def input_scaling(self) -> InputScaling:
        """Return the integer scaling from raw counts of `imu` to the int8 input."""
        return InputScaling(self.input_multipliers, self.input_shift, self.input_zero_point)

    def envelope_of(self, predictions: NDArray[np.int8]) -> NDArray[np.float64]:
        """Convert (n, muscles) int8 predictions to fractions of the reference."""
        return (predictions.astype(np.float64) - self.output_zero_point) * self.output_scale

    def to_json(self) -> dict[str, Any]:
        """Return the card as JSON-able values, in the order a reader wants."""
        values = dataclasses.asdict(self)
        first = ("format_version", "name", "note")
        ordered = [*first, *(key for key in values if key not in first)]
        return {
            key: list(values[key]) if isinstance(values[key], tuple) else values[key]
            for key in ordered
        }

    @classmethod
    def from_json(cls, values: Any) -> "ModelCard":
        """Read what `to_json` wrote.

        Raises
        ------
        ModelError
            If a key is missing, unknown or of the wrong kind, or the integer scaling is not the
            one that follows from the float one.
        """
        if not isinstance(values, dict):
            raise ModelError(f"model card: {type(values).__name__}, expected an object")
        version = values.get("format_version")
        if version != FORMAT_VERSION:
            raise ModelError(
                f"model card: format_version {version!r}, this program reads {FORMAT_VERSION}"
            )
        fields = {item.name: item for item in dataclasses.fields(cls)}
        if unknown := sorted(set(values) - set(fields)):
            raise ModelError(f"model card: unknown key '{unknown[0]}'")
        required = [
            name
            for name, item in fields.items()
            if item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
        ]
        if missing := [name for name in required if name not in values]:
            raise ModelError(f"model card: no '{missing[0]}'")
        converted = {key: _convert(key, fields[key].type, item) for key, item in values.items()}
        card = cls(**converted)
        card._check()
        return card

    def _check(self) -> None:
        if len(self.channel_scale) != len(self.channels) or len(self.channels) != len(IMU_CHANNELS):
            raise ModelError(
                f"model card: {len(self.channel_scale)} values in channel_scale for "
                f"{len(self.channels)} channels, expected {len(IMU_CHANNELS)}"
            )
        if self.rate_hz != RATE_HZ:
            raise ModelError(f"model card: rate_hz {self.rate_hz}, expected {RATE_HZ}")
        if not self.muscles:
            raise ModelError("model card: no muscles")
        if self.receptive_field < 1:
            raise ModelError(f"model card: receptive_field {self.receptive_field}, expected 1 up")
        if not (math.isfinite(self.output_scale) and self.output_scale > 0.0):
            raise ModelError(f"model card: output_scale {self.output_scale}, expected above 0")
        try:
            expected = input_scaling(
                imu_by_name(self.imu),
                np.array(self.channel_scale),
                self.input_scale,
                self.input_zero_point,
            )
        except MyowaveError as error:
            raise ModelError(f"model card: {error}") from None
        if expected != self.input_scaling():
            raise ModelError(
                f"model card: input_multipliers {list(self.input_multipliers)} >> "
                f"{self.input_shift} do not follow from channel_scale, input_scale and imu, "
                f"expected {list(expected.multipliers)} >> {expected.shift}"
            )


def write_card(folder: Path, card: ModelCard) -> None:
    """Write `model.json` into a model directory."""
    text = json.dumps(card.to_json(), indent=2, allow_nan=False, ensure_ascii=False)
    (folder / CARD_FILE).write_text(text + "\n", encoding="utf-8")


def load_card(folder: Path) -> ModelCard:
    """Read `model.json` of a model directory; raise ModelError if it is absent or not a card."""
    path = folder / CARD_FILE
    try:
        return ModelCard.from_json(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ModelError(
            f"{folder}: not a model directory ({CARD_FILE}: {error.strerror}); "
            "make one with 'myowave train'"
        ) from None
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: not JSON: {error}") from None
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None


def find_card(sha256: str, model_dirs: Sequence[Path] = ()) -> ModelCard | None:
    """Return the card of the model with this SHA-256, or None where no directory holds it.

    Looked at in this order: `model_dirs`, `$MYOWAVE_MODEL`, and every model directory under
    `models/` and `build/` of this folder and of the clone.

    Parameters
    ----------
    sha256 : str
        Of the `.tflite`, hexadecimal.
    model_dirs : sequence of Path
        Model directories.

    Raises
    ------
    ModelError
        If one of `model_dirs` holds no readable card.
    """
    for folder in model_dirs:
        card = load_card(folder)
        if card.tflite_sha256 == sha256:
            return card
    for folder in _usual_model_dirs():
        # Nobody has named it: what else lies there is no mistake.
        with contextlib.suppress(ModelError):
            card = load_card(folder)
            if card.tflite_sha256 == sha256:
                return card
    return None


def _usual_model_dirs() -> Iterator[Path]:
    if named := os.environ.get(MODEL_VARIABLE):
        yield Path(named)
    for root in dict.fromkeys((Path.cwd(), REPOSITORY)):
        for shelf in ("models", "build"):
            yield from (path.parent for path in sorted((root / shelf).glob(f"*/{CARD_FILE}")))


def load_model_dir(folder: Path) -> tuple[ModelCard, bytes]:
    """Return the card and the `.tflite` of a model directory.

    Raises
    ------
    ModelError
        If either is absent or damaged, or the `.tflite` is not the one the card describes.
    """
    card = load_card(folder)
    path = folder / TFLITE_FILE
    try:
        tflite = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}") from None
    found = hashlib.sha256(tflite).hexdigest()
    if found != card.tflite_sha256:
        raise ModelError(
            f"{path}: SHA-256 {found[:12]}…, its card was written for {card.tflite_sha256[:12]}…"
        )
    return card, tflite


def _convert(key: str, kind: Any, value: Any) -> Any:
    def wrong(expected: str) -> ModelError:
        return ModelError(f"model card: {key} is {str(value)[:40]!r}, expected {expected}")

    if kind in (dict[str, Any], dict[str, Any] | None):
        if not isinstance(value, dict) and (kind == dict[str, Any] or value is not None):
            raise wrong("an object")
        return value
    if kind in (tuple[float, ...], tuple[int, ...], tuple[str, ...]):
        item_kind = kind.__args__[0]
        if not isinstance(value, list):
            raise wrong("a list")
        return tuple(_convert(key, item_kind, item) for item in value)
    accepted = (int, float) if kind is float else kind
    if not isinstance(value, accepted) or isinstance(value, bool):
        raise wrong(f"a value of type {kind.__name__}")
    return kind(value)
