"""What the sensors show: the IMU on the wrist, and the EMG over the muscles."""

import math

import numpy as np
from numpy.typing import NDArray

from myowave.imu import G_M_S2, Imu, to_counts
from myowave.recording import RATE_HZ
from myowave.simulate.arm import Motion
from myowave.simulate.programme import Course
from myowave.simulate.subject import IMU_FROM_WRIST_M, IMU_RADIUS_M, Session, Subject

Array = NDArray[np.float64]

EMG_BAND_HZ = (20.0, 450.0)
ARTIFACT_BAND_HZ = (1.0, 15.0)
# A strap on soft skin lets the IMU shake; its size here is of the order seen in real recordings.
STRAP_BAND_HZ = (15.0, 40.0)
STRAP_M_S2_PER_RAD_S = 0.12
# Spectrum and amplitude of a fully tired muscle (f_l and f_h relative to fresh).
TIRED_SPECTRUM = 0.7


def wrist_motion(subject: Subject, motion: Motion) -> tuple[Array, Array]:
    """Return specific force and angular rate at the IMU, in the frame of the forearm.

    The outward Newton-Euler recursion along trunk, abduction, shoulder, elbow and pronation. The
    frame is x forward, y left, z up for a hanging, supinated forearm.

    Returns
    -------
    force : (n, 3) array
        Acceleration less gravity, m/s².
    rate : (n, 3) array
        rad/s.
    """
    n = motion.load_kg.size
    force = motion.shoulder.trunk_m_s2 + np.array([0.0, 0.0, G_M_S2])
    link = _Link(np.zeros((n, 3)), np.zeros((n, 3)), force)
    nowhere = np.zeros(3)
    # Flexion carries a hanging arm (pointing to -z) forward (+x): a turn about -y.
    flex = np.array([0.0, -1.0, 0.0])
    to_elbow = np.array([0.0, 0.0, -subject.upper_arm_m])
    to_imu = np.array([-IMU_RADIUS_M, 0.0, -(subject.forearm_m - IMU_FROM_WRIST_M)])
    link = link.turn(np.array([1.0, 0.0, 0.0]), motion.shoulder.abduction, nowhere)
    link = link.turn(flex, motion.shoulder.flexion, to_elbow)
    link = link.turn(flex, motion.elbow, nowhere)
    link = link.turn(np.array([0.0, 0.0, 1.0]), motion.pronation, to_imu)
    return link.force, link.rate


class _Link:
    """Angular rate and acceleration and specific force at a point of the arm, in its frame."""

    def __init__(self, rate: Array, acceleration: Array, force: Array) -> None:
        self.rate = rate
        self.acceleration = acceleration
        self.force = force

    def turn(self, axis: Array, joint: Course, offset: Array) -> "_Link":
        """Return the point at `offset` (3,) on the next link, which turns about `axis` (3,)."""

        def into(vectors: Array) -> Array:
            # Rodrigues with the opposite angle: from the parent's frame into the child's.
            cosine = np.cos(joint.angle)[:, None]
            sine = np.sin(joint.angle)[:, None]
            along = (vectors @ axis)[:, None] * axis
            return vectors * cosine - np.cross(axis, vectors) * sine + along * (1.0 - cosine)

        carried = into(self.rate)
        own = joint.rate[:, None] * axis
        rate = carried + own
        acceleration = (
            into(self.acceleration) + joint.acceleration[:, None] * axis + np.cross(carried, own)
        )
        tangential = np.cross(acceleration, offset)
        centripetal = np.cross(rate, np.cross(rate, offset))
        return _Link(rate, acceleration, into(self.force) + tangential + centripetal)


def imu_counts(
    rng: np.random.Generator, subject: Subject, session: Session, motion: Motion, imu: Imu
) -> NDArray[np.int16]:
    """Return the (n, 6) counts of `imu`: mounting, bias, scale, strap vibration, noise, range."""
    from scipy import signal

    force, rate = wrist_motion(subject, motion)
    acc = force @ session.mounting.T
    gyro = rate @ session.mounting.T
    n = acc.shape[0]

    strap = signal.butter(2, STRAP_BAND_HZ, "bandpass", fs=RATE_HZ, output="sos")
    shake = signal.sosfilt(strap, rng.normal(0.0, 1.0, (n, 3)), axis=0)
    shake *= STRAP_M_S2_PER_RAD_S / shake.std() * np.linalg.norm(rate, axis=1, keepdims=True)

    acc = (acc + shake) * session.scale[:3] + session.acc_bias_m_s2
    gyro = gyro * session.scale[3:] + session.gyro_bias_rad_s
    acc += rng.normal(0.0, imu.acc_noise_m_s2, (n, 3))
    gyro += rng.normal(0.0, imu.gyro_noise_rad_s, (n, 3))
    return to_counts(acc, gyro, imu)


def raw_emg(
    rng: np.random.Generator, subject: Subject, session: Session, motion: Motion, n_muscles: int
) -> Array:
    """Return the raw EMG (n, `n_muscles`) in mV over biceps and, second, triceps."""
    force, _ = wrist_motion(subject, motion)
    n = force.shape[0]
    time_s = np.arange(n) / RATE_HZ
    columns = []
    for m in range(n_muscles):
        drive = motion.excitation[:, m]
        if m == 0:
            # The biceps also supinates: pronated, the brachialis does more of the flexing.
            drive = drive * (1.0 - 0.3 * np.sin(np.clip(motion.pronation.angle, 0.0, math.pi / 2)))
        gain = subject.emg_gain_mv * session.emg_gain
        amplitude = gain * (
            (1.0 - subject.emg_curvature) * drive + subject.emg_curvature * drive**2
        )

        # Fresh and tired noise are independent, so that the mixture keeps its variance.
        tired = np.clip(motion.fatigue[:, m] / 0.4, 0.0, 1.0)
        low, high = subject.emg_low_hz, subject.emg_high_hz
        noise = np.sqrt(1.0 - tired) * coloured_noise(rng, n, low, high) + np.sqrt(
            tired
        ) * coloured_noise(rng, n, TIRED_SPECTRUM * low, TIRED_SPECTRUM * high)
        columns.append(
            amplitude * noise
            + rng.normal(0.0, session.emg_noise_mv, n)
            + _hum(rng, session, time_s)
            + _movement_artifact(rng, session, force)
            + _pops(rng, session, time_s)
        )
    return np.stack(columns, axis=1)


def coloured_noise(rng: np.random.Generator, n: int, low_hz: float, high_hz: float) -> Array:
    """Return (n,) Gaussian noise of unit variance with the spectrum of surface EMG."""
    frequency = np.fft.rfftfreq(n, 1.0 / RATE_HZ)
    shape = frequency / (np.sqrt(frequency**2 + low_hz**2) * (frequency**2 + high_hz**2))
    shape[(frequency < EMG_BAND_HZ[0]) | (frequency > EMG_BAND_HZ[1])] = 0.0
    noise = np.fft.irfft(np.fft.rfft(rng.normal(0.0, 1.0, n)) * shape, n)
    # Scaled by the filter's own gain, not by the sample's: the variance may fluctuate, as it does.
    return noise / math.sqrt(2.0 * float(np.sum(shape**2)) / n)


def _hum(rng: np.random.Generator, session: Session, time_s: Array) -> Array:
    """Return mains hum with its third harmonic."""
    phase = 2.0 * np.pi * session.hum_hz * time_s + rng.uniform(0.0, 2.0 * np.pi)
    hum: Array = session.hum_mv * (np.sin(phase) + 0.3 * np.sin(3.0 * phase))
    return hum


def _movement_artifact(rng: np.random.Generator, session: Session, force: Array) -> Array:
    """Return what skin and cable make of acceleration: below 20 Hz, out of a random direction."""
    from scipy import signal

    direction = rng.normal(0.0, 1.0, 3)
    band = signal.butter(2, ARTIFACT_BAND_HZ, "bandpass", fs=RATE_HZ, output="sos")
    shaken: Array = signal.sosfilt(
        band, (force - force[0]) @ (direction / np.linalg.norm(direction))
    )
    return session.artifact_mv_s2_m * shaken


def _pops(rng: np.random.Generator, session: Session, time_s: Array) -> Array:
    """Return rare steps of an electrode that fade within some tens of milliseconds."""
    pops = np.zeros_like(time_s)
    for _ in range(int(rng.poisson(session.pops_per_minute * time_s.size / RATE_HZ / 60.0))):
        first = int(rng.integers(time_s.size))
        height = rng.uniform(0.1, 0.5) * rng.choice([-1.0, 1.0])
        fade_s = rng.uniform(0.01, 0.03)
        pops[first:] += height * np.exp(-(time_s[first:] - time_s[first]) / fade_s)
    return pops
