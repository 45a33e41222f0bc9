"""What a board puts right in its IMU's raw counts before the network: gyroscope bias, mounting.

All in integers, the twin of `mw_calibration_apply` in `firmware/app/calibration.c`: raw counts of a
log and the calibration its identity frame names give the network's input again to the bit. The host
keeps a calibration as a small JSON file and sends it before it starts the board.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from myowave.errors import ConfigError
from myowave.wire import DEFINITION, Frame, FrameError

if TYPE_CHECKING:
    from myowave.model_card import ModelCard

FORMAT_VERSION = 1
# Turned by 180 degrees about an axis, that axis keeps its sign; as `orientation.TURNS`, which needs
# more packages than a logger has.
SIGNS = {"none": (1, 1, 1), "180x": (1, -1, -1), "180y": (-1, 1, -1), "180z": (-1, -1, 1)}
_TURN_NAME = {value: name for name, value in DEFINITION.turn.items()}
_AXES = ("x", "y", "z")


@dataclass(frozen=True)
class Calibration:
    """Corrections of one board as it is worn.

    Attributes
    ----------
    imu : str
        Part number of the IMU whose counts these are.
    turn : str
        How the sensor sits against those of the training recordings, a key of `SIGNS`.
    gyro_bias : tuple of three int
        Raw counts of x, y, z at rest, before turning.
    """

    imu: str
    turn: str
    gyro_bias: tuple[int, int, int]

    def __post_init__(self) -> None:
        """Refuse what no board takes."""
        if self.turn not in SIGNS:
            raise ConfigError(f"turn '{self.turn}', expected one of {', '.join(SIGNS)}")
        if any(not -32768 <= bias <= 32767 for bias in self.gyro_bias):
            raise ConfigError(
                f"gyroscope bias {list(self.gyro_bias)}, expected three 16-bit counts"
            )

    def apply(self, counts: NDArray[np.int16]) -> NDArray[np.int16]:
        """Correct (n, 6) raw counts as the board does."""
        bias = np.array([0, 0, 0, *self.gyro_bias], dtype=np.int32)
        signs = np.array(2 * SIGNS[self.turn], dtype=np.int32)
        corrected = (counts.astype(np.int32) - bias) * signs
        saturated: NDArray[np.int16] = np.clip(corrected, -32768, 32767).astype(np.int16)
        return saturated

    @classmethod
    def from_frame(cls, frame: Frame) -> "Calibration":
        """Read the calibration of an identity frame; raise FrameError for a turn there is not."""
        if frame["turn"] not in _TURN_NAME:
            raise FrameError(f"identity: turn {frame['turn']}")
        x, y, z = (int(frame[f"gyro_bias_{axis}"]) for axis in _AXES)
        return cls(frame["imu"], _TURN_NAME[frame["turn"]], (x, y, z))

    def __str__(self) -> str:
        """Describe it in a few words."""
        x, y, z = self.gyro_bias
        turned = "as in training" if self.turn == "none" else f"turned {self.turn}"
        return f"gyroscope bias {x}, {y}, {z} counts, sensor {turned}"

    def to_fields(self) -> dict[str, int]:
        """Return the fields of a set_calibration frame."""
        biases = {f"gyro_bias_{a}": bias for a, bias in zip(_AXES, self.gyro_bias, strict=True)}
        return {"turn": DEFINITION.turn[self.turn], **biases}


def write_calibration(path: Path, calibration: Calibration) -> None:
    """Write a calibration as `load_calibration` reads it."""
    values = {
        "format_version": FORMAT_VERSION,
        "imu": calibration.imu,
        "turn": calibration.turn,
        "gyro_bias_counts": list(calibration.gyro_bias),
    }
    path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def load_calibration(path: Path) -> Calibration:
    """Read what `write_calibration` wrote.

    Raises
    ------
    ConfigError
        If the file cannot be read or is no calibration.
    """
    try:
        values: Any = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot read it ({error.strerror}); 'myowave calibrate' makes one"
        ) from None
    except ValueError as error:
        raise ConfigError(f"{path}: not JSON: {error}") from None
    if not isinstance(values, dict) or values.get("format_version") != FORMAT_VERSION:
        raise ConfigError(
            f"{path}: no calibration of format {FORMAT_VERSION}; 'myowave calibrate' makes one"
        )
    bias, turn, imu = (values.get(key) for key in ("gyro_bias_counts", "turn", "imu"))
    if not (
        isinstance(bias, list)
        and len(bias) == 3
        and all(type(value) is int for value in bias)
        and isinstance(turn, str)
        and isinstance(imu, str)
    ):
        raise ConfigError(
            f"{path}: expected 'turn' and 'imu' as text and 'gyro_bias_counts' as three integers"
        )
    try:
        return Calibration(imu, turn, (bias[0], bias[1], bias[2]))
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def find_turn(counts: NDArray[np.int16], calibration: Calibration, card: "ModelCard") -> str:
    """Tell how a sensor sits from how it moved, against the recordings a model was trained on.

    Parameters
    ----------
    counts : (n, 6) int16 array
        Raw counts of everyday movement at 1 kHz.
    calibration : Calibration
        Whose bias is subtracted first.
    card : ModelCard
        Of the model.

    Raises
    ------
    ConfigError
        If the model's card holds no orientation, or the movement does not tell.
    """
    # Estimating needs scipy's company; a logger does not.
    from myowave.imu import from_counts, imu_by_name
    from myowave.orientation import OrientationReference, estimate
    from myowave.recording import Recording

    if card.orientation is None:
        raise ConfigError(f"model '{card.name}': its card holds no orientation; name --turn")
    unturned = Calibration(calibration.imu, "none", calibration.gyro_bias)
    physical = from_counts(unturned.apply(counts), imu_by_name(calibration.imu))
    recording = Recording(
        acc=physical[:, :3],
        gyro=physical[:, 3:],
        emg=np.zeros((len(counts), 0)),
        muscles=(),
        subject="",
        day="",
        name="calibration",
    )
    (found,) = estimate([recording], OrientationReference.from_json(card.orientation))
    if not found.certain:
        raise ConfigError(
            f"the movement does not tell how the sensor sits (margin {found.margin:.2f}, expected "
            f"1.2 up); move as in the recordings the model was trained on, or name --turn"
        )
    return found.turn
