"""One Hill-type muscle across the elbow: activation dynamics and the torque it gives.

The equations and their sources are in the package's docstring. Every function takes floats or
arrays, so the planner (whole trials at once) and the integrator (one step) share one definition;
that is why `abs` and `e ** x` stand where `where` and `exp` would be expected.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

# A float in the integrator, an array in the planner.
Value = TypeVar("Value", float, NDArray[np.float64])

GAMMA = 0.45
V_MAX_LENGTHS_S = 10.0
A_F = 0.3
F_LENGTHENING = 1.4
C_LENGTHENING = (2.0 + 2.0 / A_F) / (F_LENGTHENING - 1.0)
T_ACTIVATION_S = 0.015
T_DEACTIVATION_S = 0.050

# Moment arm in mm as a polynomial in degrees of elbow flexion, lowest power first, from Pigeon,
# Yahia & Feldman (1996): biceps, and triceps (negative: it extends).
BICEPS_ARM_MM = (14.660, 4.5322e-1, 1.8047e-3, -2.9883e-5)
TRICEPS_ARM_MM = (-23.287, -3.0284e-1, 12.886e-3, -19.092e-5, 13.277e-7, -3.5171e-9)

REFERENCE_ANGLE_RAD = math.pi / 2


@dataclass(frozen=True)
class Muscle:
    """A muscle group lumped into one line of action across the elbow.

    Attributes
    ----------
    arm_mm : tuple of float
        Moment arm in mm, a polynomial in degrees of flexion, lowest power first; positive flexes.
    fibre_m : float
        Optimal fibre length.
    optimal_angle_rad : float
        Elbow angle at which the fibres have their optimal length.
    isometric_nm : float
        Magnitude of the torque at full activation, 90° and no motion.
    """

    arm_mm: tuple[float, ...]
    fibre_m: float
    optimal_angle_rad: float
    isometric_nm: float

    def moment_arm(self, angle: Value) -> Value:
        """Return the moment arm in m at an elbow angle in rad."""
        return _polynomial(self.arm_mm, angle * (180.0 / math.pi)) * 1e-3

    def length(self, angle: Value) -> Value:
        """Return the fibre length, in optimal lengths, at an elbow angle in rad."""
        return 1.0 + (self._excursion_at_optimum - self._excursion(angle)) * (1.0 / self.fibre_m)

    def torque(self, activation: Value, angle: Value, rate: Value) -> Value:
        """Return the torque in N m, positive when it flexes.

        Parameters
        ----------
        activation : float or array
            0 to 1.
        angle, rate : float or array
            Elbow flexion in rad and rad/s.
        """
        arm = self.moment_arm(angle)
        stretch = self.length(angle) - 1.0
        speed = (arm * rate) * (-1.0 / self.fibre_m)
        active_length: Value = math.e ** (stretch * stretch * (-1.0 / GAMMA))
        return (
            arm * (self._force_n * activation * active_length) * force_velocity(speed, activation)
        )

    def activation_for(
        self, torque: NDArray[np.float64], angle: NDArray[np.float64], rate: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the activation (n,) that gives |`torque`|, 1.0 where the muscle is too weak.

        Torque grows with activation everywhere, so bisection is safe.
        """
        low, high = np.zeros_like(torque), np.ones_like(torque)
        wanted = np.abs(torque)
        for _ in range(20):
            middle = 0.5 * (low + high)
            enough = np.abs(self.torque(middle, angle, rate)) >= wanted
            high = np.where(enough, middle, high)
            low = np.where(enough, low, middle)
        return high

    def _excursion(self, angle: Value) -> Value:
        """Return the integral of the moment arm over the angle, in m."""
        integral = (0.0, *(c / (power + 1) for power, c in enumerate(self.arm_mm)))
        return _polynomial(integral, angle * (180.0 / math.pi)) * (1e-3 * math.pi / 180.0)

    @cached_property
    def _excursion_at_optimum(self) -> float:
        return self._excursion(self.optimal_angle_rad)

    @cached_property
    def _force_n(self) -> float:
        stretch = self.length(REFERENCE_ANGLE_RAD) - 1.0
        active_length = math.exp(-(stretch**2) / GAMMA)
        return self.isometric_nm / (abs(self.moment_arm(REFERENCE_ANGLE_RAD)) * active_length)


def flexors(isometric_nm: float) -> Muscle:
    """Return the elbow flexors; fibres of the long head of biceps (Holzbaur et al. 2005)."""
    return Muscle(BICEPS_ARM_MM, 0.116, math.radians(65.0), isometric_nm)


def extensors(isometric_nm: float) -> Muscle:
    """Return the elbow extensors; fibres of the long head of triceps (Holzbaur et al. 2005)."""
    return Muscle(TRICEPS_ARM_MM, 0.134, math.radians(75.0), isometric_nm)


def force_velocity(speed: Value, activation: Value) -> Value:
    """Return the force factor at a fibre speed in optimal lengths a second, lengthening > 0."""
    k = speed / (V_MAX_LENGTHS_S * (0.25 + 0.75 * activation))
    lengthening = 0.5 * (k + abs(k))
    shortening = k - lengthening
    factor = (1.0 + shortening + (C_LENGTHENING * F_LENGTHENING) * lengthening) / (
        1.0 - shortening * (1.0 / A_F) + C_LENGTHENING * lengthening
    )
    # A fibre cannot push: faster than the greatest shortening speed the force is zero.
    return 0.5 * (factor + abs(factor))


def activation_rate(excitation: float, activation: float) -> float:
    """Return da/dt in 1/s."""
    if excitation > activation:
        return (excitation - activation) / (T_ACTIVATION_S * (0.5 + 1.5 * activation))
    return (excitation - activation) * (0.5 + 1.5 * activation) / T_DEACTIVATION_S


def excitation_for(activation: NDArray[np.float64], rate_hz: float) -> NDArray[np.float64]:
    """Return the excitation (n,) that makes activation follow the course `activation` (n,)."""
    slope = np.gradient(activation) * rate_hz
    rising = T_ACTIVATION_S * (0.5 + 1.5 * activation)
    falling = T_DEACTIVATION_S / (0.5 + 1.5 * activation)
    return np.clip(activation + slope * np.where(slope > 0.0, rising, falling), 0.0, 1.0)


def _polynomial(coefficients: tuple[float, ...], x: Value) -> Value:
    total = x * 0.0 + coefficients[-1]
    for coefficient in coefficients[-2::-1]:
        total = total * x + coefficient
    return total
