"""From a raw IMU count to the network's int8 input, in the integers the device computes.

The C twin is `mw_scale_input` in `firmware/engine/`; `tests/engine/test_scaling.py` compares the
two over every count.

    q = clamp(((count * multiplier + 2**(shift - 1)) >> shift) + zero_point, -128, 127)

with one multiplier a channel and one shift for all. The product of a 16-bit count and a 16-bit
multiplier fits 31 bits, so 32-bit arithmetic never overflows. `>>` is arithmetic (floor).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from myowave.errors import ConfigError
from myowave.imu import Imu

SHIFT_MAX = 30
MULTIPLIER_MAX = 32767


@dataclass(frozen=True)
class InputScaling:
    """Fixed-point scaling of the raw counts of one IMU to the int8 input of one network.

    Attributes
    ----------
    multipliers : tuple of int
        One a channel, -32767 to 32767; a negative one turns the axis over.
    shift : int
        Right shift after the product, 1 to 30.
    zero_point : int
        Zero point of the network's input tensor.
    """

    multipliers: tuple[int, ...]
    shift: int
    zero_point: int

    def apply(self, counts: NDArray[np.int16]) -> NDArray[np.int8]:
        """Scale (n, channels) raw counts to (n, channels) int8 network inputs."""
        product = counts.astype(np.int32) * np.array(self.multipliers, dtype=np.int32)
        rounded = (product + np.int32(1 << (self.shift - 1))) >> self.shift
        clamped: NDArray[np.int8] = np.clip(rounded + self.zero_point, -128, 127).astype(np.int8)
        return clamped


def input_scaling(
    imu: Imu,
    channel_scale: NDArray[np.floating],
    input_scale: float,
    input_zero_point: int,
) -> InputScaling:
    """Return the fixed-point scaling for `imu` in front of a network.

    Parameters
    ----------
    imu : Imu
        The part whose counts arrive.
    channel_scale : (6,) array
        m/s² or rad/s that the float network sees as 1.0, for each channel.
    input_scale, input_zero_point : float, int
        Quantization of the network's input tensor.

    Raises
    ------
    ConfigError
        If a scale is not a positive finite number or too small or large for the fixed-point form.
    """
    scales = np.asarray(channel_scale, dtype=np.float64)
    if scales.shape != (6,) or not np.all(np.isfinite(scales)) or np.any(scales == 0.0):
        raise ConfigError(f"channel scale {scales}: expected six finite numbers other than zero")
    if not (np.isfinite(input_scale) and input_scale > 0.0):
        raise ConfigError(f"input scale {input_scale}: expected a positive finite number")
    ratio = imu.lsb / (scales * input_scale)
    largest = float(np.max(np.abs(ratio)))
    shift = int(np.floor(np.log2(MULTIPLIER_MAX / largest)))
    if shift < 1:
        raise ConfigError(f"channel scale {scales}: too small, one count is over 16383 steps")
    shift = min(shift, SHIFT_MAX)
    multipliers = np.rint(ratio * 2.0**shift).astype(int)
    if np.any(multipliers == 0):
        raise ConfigError(f"channel scale {scales}: too large, a full-scale count rounds to zero")
    return InputScaling(tuple(int(m) for m in multipliers), shift, input_zero_point)
