"""The IMUs whose raw counts MyoWave understands, and the conversion between counts and units.

A count is a signed 16-bit integer. The table is the one place that knows what a count of each part
is worth; ranges are the ones the firmware sets (±8 g, ±1000 °/s).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from myowave.errors import ConfigError

G_M_S2 = 9.80665
DEG_RAD = np.pi / 180.0
IMU_CHANNELS = ("acc_x", "acc_y", "acc_z", "gyro_x", "gyro_y", "gyro_z")


@dataclass(frozen=True)
class Imu:
    """One inertial sensor at its configured range.

    Attributes
    ----------
    name : str
        Part number in lower case.
    acc_lsb_m_s2, gyro_lsb_rad_s : float
        Physical value of one count.
    acc_noise_m_s2, gyro_noise_rad_s : float
        Typical root-mean-square noise at a bandwidth of 200 Hz, for the simulation.
    """

    name: str
    acc_lsb_m_s2: float
    gyro_lsb_rad_s: float
    acc_noise_m_s2: float
    gyro_noise_rad_s: float

    @property
    def lsb(self) -> NDArray[np.float64]:
        """Physical value of one count of each of the six channels, shape (6,)."""
        return np.repeat([self.acc_lsb_m_s2, self.gyro_lsb_rad_s], 3)


# Sensitivities: ICM-42688-P datasheet DS-000347 tables 1 and 2 (4096 LSB/g, 32.8 LSB/(°/s); noise
# 70 µg/√Hz, 2.8 m°/s/√Hz); MPU-6050 register map RM-MPU-6000A (4096 LSB/g, 32.8 LSB/(°/s); noise
# 400 µg/√Hz, 5 m°/s/√Hz); MPU-6500 and MPU-9250 specifications tables 1 and 2 (scales alike; noise
# 300 µg/√Hz, 10 m°/s/√Hz); LSM6DS3TR-C datasheet table 3 (0.244 mg/LSB, 35 m°/s/LSB; noise
# 90 µg/√Hz, 5 m°/s/√Hz); LSM6DSO datasheet table 2 (scales alike; noise 80 µg/√Hz, 3.8 m°/s/√Hz).
# "lsm6ds3tr-c" is also the LSM6DSL and "lsm6dso" the LSM6DSOX: a board cannot tell them apart.
# The same parts, names and scales are in firmware/drivers; a test compares them.
IMUS: dict[str, Imu] = {
    imu.name: imu
    for imu in (
        Imu(
            "icm-42688-p",
            G_M_S2 / 4096,
            DEG_RAD / 32.8,
            70e-6 * G_M_S2 * 200**0.5,
            2.8e-3 * DEG_RAD * 200**0.5,
        ),
        Imu(
            "mpu-6050",
            G_M_S2 / 4096,
            DEG_RAD / 32.8,
            400e-6 * G_M_S2 * 200**0.5,
            5e-3 * DEG_RAD * 200**0.5,
        ),
        Imu(
            "lsm6ds3tr-c",
            0.244e-3 * G_M_S2,
            35e-3 * DEG_RAD,
            90e-6 * G_M_S2 * 200**0.5,
            5e-3 * DEG_RAD * 200**0.5,
        ),
        Imu(
            "lsm6dso",
            0.244e-3 * G_M_S2,
            35e-3 * DEG_RAD,
            80e-6 * G_M_S2 * 200**0.5,
            3.8e-3 * DEG_RAD * 200**0.5,
        ),
        *(
            Imu(
                name,
                G_M_S2 / 4096,
                DEG_RAD / 32.8,
                300e-6 * G_M_S2 * 200**0.5,
                10e-3 * DEG_RAD * 200**0.5,
            )
            for name in ("mpu-6500", "mpu-9250")
        ),
    )
}
DEFAULT_IMU = "icm-42688-p"


def imu_by_name(name: str) -> Imu:
    """Return the table's row `name`; raise ConfigError that lists the known names."""
    try:
        return IMUS[name]
    except KeyError:
        raise ConfigError(
            f"unknown IMU '{name}', expected one of {', '.join(sorted(IMUS))}"
        ) from None


def to_counts(acc: NDArray[np.floating], gyro: NDArray[np.floating], imu: Imu) -> NDArray[np.int16]:
    """Convert (n, 3) m/s² and (n, 3) rad/s to the (n, 6) counts `imu` would give, saturating."""
    counts = np.rint(np.hstack([acc, gyro]) / imu.lsb)
    return np.clip(counts, -32768, 32767).astype(np.int16)


def from_counts(counts: NDArray[np.int16], imu: Imu) -> NDArray[np.float64]:
    """Convert (n, 6) counts to m/s² (first three columns) and rad/s (last three)."""
    return counts.astype(np.float64) * imu.lsb
