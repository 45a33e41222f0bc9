"""Who is simulated: one person's body, muscles and habits, and one day's sensors and electrodes."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myowave.imu import G_M_S2

# Winter (2009), table 4.1 and figure 4.1: fractions of body mass, of body height, and of the length
# from elbow to wrist (forearm and hand together).
FOREARM_HAND_MASS = 0.022
FOREARM_HAND_CENTRE = 0.682
FOREARM_HAND_GYRATION_PROXIMAL = 0.827
UPPER_ARM_LENGTH = 0.186
FOREARM_LENGTH = 0.146
HAND_LENGTH = 0.108
# Wrist to the middle of the grip: the hand's centre, as a fraction of its length (table 4.1).
GRIP_IN_HAND = 0.506

# The IMU sits on the back of the wrist: so far short of the joint, so far from the bone axis.
IMU_FROM_WRIST_M = 0.03
IMU_RADIUS_M = 0.03

# Sensor axes in the frame of a hanging, supinated forearm (x forward, y left, z up the forearm):
# x up the forearm, y left, z out of the back of the wrist.
NOMINAL_MOUNTING: NDArray[np.float64] = np.array(
    [[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]]
)
FLIP_180_Z: NDArray[np.float64] = np.diag([-1.0, -1.0, 1.0])


@dataclass(frozen=True)
class Subject:
    """One person.

    Attributes
    ----------
    number : int
        1 for "sim01".
    height_m, mass_kg : float
        Body height and mass; segment lengths and inertia follow.
    flexion_nm, extension_nm : float
        Isometric strength at 90°.
    load_kg : float
        Dumbbell this person curls.
    curl_period_s : float
        Time of one curl when fresh.
    curl_top_rad : float
        Elbow flexion at the top of a curl.
    hang_rad : float
        Upper arm's angle from the vertical at rest, negative backwards; the forearm hangs straight.
    delay_s : float
        Electromechanical delay.
    cocontraction : float
        Torque both muscles give against each other, as a fraction of the net torque.
    feedback_rad_s : float
        Bandwidth of the feedback on the elbow angle.
    noise : float
        Signal-dependent noise of the excitation, standard deviation over mean.
    fatigue_rate_s, recovery_rate_s : float
        k_f and k_r in 1/s.
    stiffness_nm_rad, damping_nm_s_rad : float
        Passive elbow.
    emg_gain_mv : float
        Standard deviation of the raw biceps EMG at full excitation.
    emg_curvature : float
        c of the amplitude's shape, 0 for proportional.
    emg_low_hz, emg_high_hz : float
        f_l and f_h of the spectrum.
    """

    number: int
    height_m: float
    mass_kg: float
    flexion_nm: float
    extension_nm: float
    load_kg: float
    curl_period_s: float
    curl_top_rad: float
    hang_rad: float
    delay_s: float
    cocontraction: float
    feedback_rad_s: float
    noise: float
    fatigue_rate_s: float
    recovery_rate_s: float
    stiffness_nm_rad: float
    damping_nm_s_rad: float
    emg_gain_mv: float
    emg_curvature: float
    emg_low_hz: float
    emg_high_hz: float

    @property
    def name(self) -> str:
        """Name in recordings: "sim01"."""
        return f"sim{self.number:02d}"

    @property
    def upper_arm_m(self) -> float:
        """Length from shoulder to elbow."""
        return UPPER_ARM_LENGTH * self.height_m

    @property
    def forearm_m(self) -> float:
        """Length from elbow to wrist."""
        return FOREARM_LENGTH * self.height_m

    @property
    def grip_m(self) -> float:
        """Distance from the elbow to the dumbbell."""
        return self.forearm_m + GRIP_IN_HAND * HAND_LENGTH * self.height_m

    def moment_of_mass(self, load_kg: float) -> float:
        """Return the sum of mass times distance from the elbow with `load_kg` in the hand, kg m."""
        own = FOREARM_HAND_MASS * self.mass_kg * FOREARM_HAND_CENTRE * self.forearm_m
        return own + load_kg * self.grip_m

    def moment_of_inertia(self, load_kg: float) -> float:
        """Return the moment of inertia about the elbow, kg m²; the dumbbell counts as a point."""
        radius = FOREARM_HAND_GYRATION_PROXIMAL * self.forearm_m
        return FOREARM_HAND_MASS * self.mass_kg * radius**2 + load_kg * self.grip_m**2

    def as_json(self) -> dict[str, Any]:
        """Return every parameter, JSON-able."""
        return asdict(self)


@dataclass(frozen=True)
class Session:
    """One day of one person: how the sensors were put on.

    Attributes
    ----------
    number : int
        1 for the first day.
    mounting : (3, 3) array
        Rotation from the forearm's frame (x forward, y left, z up when hanging) to the sensor's.
    flipped : bool
        Whether the sensor is worn turned by 180° about its Z axis.
    acc_bias_m_s2, gyro_bias_rad_s : (3,) array
        Offsets of the IMU.
    scale : (6,) array
        Sensitivity of each channel over its nominal value.
    emg_gain : float
        Electrode placement: factor on the subject's EMG gain.
    emg_noise_mv, hum_mv : float
        Baseline noise (standard deviation) and mains hum (amplitude).
    hum_hz : float
        Mains frequency, 50 or 60.
    artifact_mv_s2_m : float
        Movement artifact in mV for each m/s² of acceleration between 1 and 15 Hz.
    pops_per_minute : float
        Rate of electrode pops.
    """

    number: int
    mounting: NDArray[np.float64]
    flipped: bool
    acc_bias_m_s2: NDArray[np.float64]
    gyro_bias_rad_s: NDArray[np.float64]
    scale: NDArray[np.float64]
    emg_gain: float
    emg_noise_mv: float
    hum_mv: float
    hum_hz: float
    artifact_mv_s2_m: float
    pops_per_minute: float

    @property
    def day(self) -> str:
        """A placeholder for the date: "2000-01-01" for the first simulated day, and so on."""
        return f"2000-01-{self.number:02d}"

    def as_json(self) -> dict[str, Any]:
        """Return every parameter, JSON-able."""
        return {
            key: value.tolist() if isinstance(value, np.ndarray) else value
            for key, value in asdict(self).items()
        }


def draw_subject(seed: int, number: int) -> Subject:
    """Return person `number` (1, 2, ...) of the population that `seed` makes.

    Strength: Askew et al. (1987) report 71 N m of flexion and 41 N m of extension for men, 33 and
    21 N m for women; people between are drawn, stronger when heavier.
    """
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0, number)))
    height = float(np.clip(rng.normal(1.74, 0.08), 1.52, 1.98))
    mass = float(np.clip(rng.normal(23.5, 2.0), 19.0, 29.0)) * height**2
    flexion = float(np.clip(rng.normal(0.85, 0.12), 0.55, 1.15)) * mass
    extension = flexion * rng.uniform(0.52, 0.66)
    # A load one can curl about ten times takes around two fifths of the isometric strength.
    grip = (FOREARM_LENGTH + GRIP_IN_HAND * HAND_LENGTH) * height
    load = rng.uniform(0.22, 0.32) * flexion / (G_M_S2 * grip)
    low_hz = rng.uniform(35.0, 60.0)
    return Subject(
        number=number,
        height_m=height,
        mass_kg=mass,
        flexion_nm=flexion,
        extension_nm=float(extension),
        load_kg=round(2.0 * float(load)) / 2.0,
        curl_period_s=float(rng.uniform(2.1, 3.4)),
        curl_top_rad=math.radians(rng.uniform(118.0, 136.0)),
        hang_rad=math.radians(rng.uniform(-12.0, -6.0)),
        delay_s=float(rng.uniform(0.030, 0.060)),
        cocontraction=float(rng.uniform(0.04, 0.12)),
        feedback_rad_s=float(rng.uniform(3.5, 5.0)),
        noise=float(rng.uniform(0.05, 0.11)),
        fatigue_rate_s=float(rng.uniform(0.006, 0.014)),
        recovery_rate_s=float(rng.uniform(0.003, 0.006)),
        stiffness_nm_rad=float(rng.uniform(0.6, 1.4)),
        damping_nm_s_rad=float(rng.uniform(0.15, 0.35)),
        emg_gain_mv=float(2.2 * np.exp(rng.normal(0.0, 0.3))),
        emg_curvature=float(rng.uniform(0.30, 0.60)),
        emg_low_hz=float(low_hz),
        emg_high_hz=float(low_hz * rng.uniform(1.6, 2.2)),
    )


def draw_session(seed: int, subject: int, day: int, *, flipped: bool = False) -> Session:
    """Return day `day` (1, 2, ...) of person `subject`.

    Offsets and scale errors are of the size the parts' data sheets allow after calibration at rest.
    """
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1, subject, day)))
    about_forearm, tilt_y, tilt_z = np.radians(rng.normal(0.0, [8.0, 4.0, 4.0]))
    mounting = rotation([about_forearm, tilt_y, tilt_z]) @ NOMINAL_MOUNTING
    if flipped:
        mounting = FLIP_180_Z @ mounting
    return Session(
        number=day,
        mounting=mounting,
        flipped=flipped,
        acc_bias_m_s2=rng.normal(0.0, 0.015 * G_M_S2, 3),
        gyro_bias_rad_s=np.radians(rng.normal(0.0, 0.4, 3)),
        scale=1.0 + rng.normal(0.0, 0.003, 6),
        emg_gain=float(np.exp(rng.normal(0.0, 0.15))),
        emg_noise_mv=float(rng.uniform(0.004, 0.010)),
        hum_mv=float(rng.uniform(0.001, 0.010)),
        hum_hz=50.0 if rng.random() < 0.5 else 60.0,
        artifact_mv_s2_m=float(rng.uniform(0.005, 0.030)),
        pops_per_minute=float(rng.uniform(0.0, 2.0)),
    )


def rotation(vector: list[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the (3, 3) rotation by |`vector`| rad about `vector` (Rodrigues)."""
    angle = float(np.linalg.norm(vector))
    if angle == 0.0:
        return np.eye(3)
    x, y, z = np.asarray(vector) / angle
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    turned: NDArray[np.float64] = (
        np.eye(3) + math.sin(angle) * cross + (1.0 - math.cos(angle)) * (cross @ cross)
    )
    return turned
