"""Changes of an IMU example that leave the muscle's activity as it was."""

import numpy as np
from numpy.typing import NDArray

from myowave.train_config import AugmentConfig


def random_rotation(config: AugmentConfig, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return a (3, 3) rotation: how differently a sensor sits when it is strapped on again."""
    spread = (config.tilt_rad, config.tilt_rad, config.rotation_z_rad)
    return rotation_matrix(rng.normal(0.0, spread))


def rotation_matrix(vector: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the (3, 3) rotation by |vector| rad about `vector` (Rodrigues' formula)."""
    angle = float(np.linalg.norm(vector))
    if angle == 0.0:
        return np.eye(3)
    x, y, z = np.asarray(vector, dtype=np.float64) / angle
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    rotation: NDArray[np.float64] = (
        np.eye(3) + np.sin(angle) * cross + (1.0 - np.cos(angle)) * (cross @ cross)
    )
    return rotation


def random_speed(config: AugmentConfig, rng: np.random.Generator) -> float:
    """Return how many times faster than recorded an example is played."""
    return float(np.exp(rng.uniform(-config.time_stretch, config.time_stretch)))


def play(
    imu: NDArray[np.float32], positions: NDArray[np.float64], speed: float
) -> NDArray[np.float32]:
    """Return the (k, 6) samples at fractional `positions`, as if moved `speed` times as fast.

    Angular rates grow with the speed. The part of the acceleration that comes from motion, small
    beside gravity in slow exercise, would grow with its square and is left as it is.
    """
    before = np.minimum(positions.astype(np.intp), len(imu) - 2)
    part = (positions - before)[:, None].astype(np.float32)
    samples = imu[before] * (1.0 - part) + imu[before + 1] * part
    samples[:, 3:] *= np.float32(speed)
    result: NDArray[np.float32] = samples
    return result


def remount(
    imu: NDArray[np.float32], config: AugmentConfig, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return (n, 6) as a sensor mounted a little differently, with its own gains, would give it."""
    rotation = random_rotation(config, rng).astype(np.float32).T
    acc_gain, gyro_gain = 1.0 + rng.normal(0.0, (config.acc_gain, config.gyro_gain))
    return np.hstack(
        [
            imu[:, :3] @ (rotation * np.float32(acc_gain)),
            imu[:, 3:] @ (rotation * np.float32(gyro_gain)),
        ]
    )


def add_noise(
    scaled: NDArray[np.float32], config: AugmentConfig, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return scaled samples with white noise, if the configuration asks for any."""
    if config.noise == 0.0:
        return scaled
    noise = rng.standard_normal(scaled.shape, dtype=np.float32)
    return scaled + np.float32(config.noise) * noise
