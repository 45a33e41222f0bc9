"""From a movement programme to muscle excitation, and from excitation to the motion it causes."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from myowave.imu import G_M_S2
from myowave.recording import RATE_HZ
from myowave.simulate.muscle import (
    Muscle,
    Value,
    activation_rate,
    excitation_for,
    extensors,
    flexors,
)
from myowave.simulate.programme import Course, Programme
from myowave.simulate.subject import Subject

Array = NDArray[np.float64]

STEP_S = 1.0 / RATE_HZ
# The elbow's range: hyperextension and contact of the soft parts, as stiff springs.
RANGE_RAD = (math.radians(-5.0), math.radians(145.0))
END_STIFFNESS_NM_RAD = 150.0
# Feedback acts on the angle as it was felt this long ago, about the nerve's part of a long-latency
# stretch reflex; the muscle's own delay comes on top.
FEEDBACK_DELAY_S = 0.040
# Resting tone: the least excitation of a muscle.
TONE = 0.004
# Stiffness people keep against a load that could run away from them, as a part of its greatest
# torque a radian: as the arm extends, muscles lose leverage faster than gravity does.
POSTURE_STIFFNESS = 0.5
# An error that lasts is seen and corrected in about this time.
NOTICE_S = 0.5
# Around no torque at all the change from flexors to extensors is gradual over about this torque.
TURNOVER_NM = 0.3


@dataclass(frozen=True)
class Shoulder:
    """Prescribed motion of the upper arm and the trunk.

    Attributes
    ----------
    flexion, abduction : Course
        Upper arm's angle from the vertical, forwards and sideways.
    trunk_m_s2 : (n, 3) array
        Acceleration of the shoulder joint, x forward, y left, z up.
    """

    flexion: Course
    abduction: Course
    trunk_m_s2: Array


@dataclass(frozen=True)
class Motion:
    """What happened: n samples at 1 kHz, angles in rad, torques in N m.

    Attributes
    ----------
    elbow : Course
        Elbow flexion as the muscles made it.
    wanted : Course
        Elbow flexion the programme asked for.
    shoulder : Shoulder
        What carries the elbow.
    pronation : Course
        Turn of the forearm about its own axis, 0 supinated.
    excitation, activation : (n, 2) array
        Flexors and extensors, 0 to 1.
    fatigue : (n, 2) array
        Part of each muscle's force that is lost.
    muscle_torque : (n,) array
        Net torque of both muscles, positive flexing.
    load_kg : (n,) array
        What the hand holds.
    """

    elbow: Course
    wanted: Course
    shoulder: Shoulder
    pronation: Course
    excitation: Array
    activation: Array
    fatigue: Array
    muscle_torque: Array
    load_kg: Array

    def after(self, first: int) -> "Motion":
        """Return the motion without its first `first` samples."""

        def cut(course: Course) -> Course:
            return Course(*(part[first:] for part in course))

        shoulder = Shoulder(
            cut(self.shoulder.flexion),
            cut(self.shoulder.abduction),
            self.shoulder.trunk_m_s2[first:],
        )
        return Motion(
            cut(self.elbow),
            cut(self.wanted),
            shoulder,
            cut(self.pronation),
            self.excitation[first:],
            self.activation[first:],
            self.fatigue[first:],
            self.muscle_torque[first:],
            self.load_kg[first:],
        )


def passive_torque(subject: Subject, angle: Value, rate: Value) -> Value:
    """Return the elbow's own torque in N m: springs about the hanging angle, damping, end stops."""
    low, high = RANGE_RAD
    beyond = 0.5 * (angle - high + abs(angle - high)) + 0.5 * (angle - low - abs(angle - low))
    return (
        (angle + subject.hang_rad) * -subject.stiffness_nm_rad
        - rate * subject.damping_nm_s_rad
        - beyond * END_STIFFNESS_NM_RAD
    )


def carried_torque(subject: Subject, load_kg: Array, shoulder: Shoulder) -> tuple[Array, Array]:
    """Return what gravity and the moving elbow joint do to the forearm.

    Returns
    -------
    along, across : (n,) arrays
        The torque is `along * sin(psi) + across * cos(psi)`, psi the forearm's angle from the
        vertical, in N m. Split so that the integrator needs no vectors.
    """
    upper = shoulder.flexion
    sine, cosine = np.sin(upper.angle), np.cos(upper.angle)
    length = subject.upper_arm_m
    forward = shoulder.trunk_m_s2[:, 0] + length * (
        upper.acceleration * cosine - upper.rate**2 * sine
    )
    upward = shoulder.trunk_m_s2[:, 2] + length * (
        upper.acceleration * sine + upper.rate**2 * cosine
    )
    mass_moment = subject.moment_of_mass(0.0) + subject.grip_m * load_kg
    return -mass_moment * (G_M_S2 + upward), -mass_moment * forward


def inertia(subject: Subject, load_kg: Array) -> Array:
    """Return the moment of inertia (n,) about the elbow, kg m²."""
    return subject.moment_of_inertia(0.0) + subject.grip_m**2 * load_kg


def net_torque(subject: Subject, load_kg: Array, shoulder: Shoulder, elbow: Course) -> Array:
    """Return the muscle torque (n,) in N m that the motion needs: inverse dynamics."""
    along, across = carried_torque(subject, load_kg, shoulder)
    psi = shoulder.flexion.angle + elbow.angle
    acceleration = shoulder.flexion.acceleration + elbow.acceleration
    return (
        inertia(subject, load_kg) * acceleration
        - along * np.sin(psi)
        - across * np.cos(psi)
        - passive_torque(subject, elbow.angle, elbow.rate)
    )


def move_arm(
    rng: np.random.Generator, subject: Subject, programme: Programme, time_s: Array
) -> Motion:
    """Let `subject` carry out `programme` at the times `time_s` (n,), uniform at 1 kHz.

    The first tenths of a second are the arm settling into its starting posture.
    """
    wanted = programme.course("elbow", time_s)
    planned_flexion = programme.course("shoulder", time_s)
    load_kg = programme.load_kg(time_s)
    shoulder = _sway(rng, planned_flexion, time_s)
    muscles = (flexors(subject.flexion_nm), extensors(subject.extension_nm))

    # The person's own idea of load and strength is a little wrong, the sway comes as a surprise.
    still = Course(*(np.zeros_like(time_s) for _ in range(3)))
    expected = Shoulder(planned_flexion, still, np.zeros((time_s.size, 3)))
    torque = net_torque(subject, load_kg, expected, wanted) * rng.normal(1.0, 0.05)
    planned = _plan_excitation(subject, muscles, torque, wanted)
    noise = subject.noise * _motor_noise(rng, time_s)
    return _integrate(
        subject=subject,
        muscles=muscles,
        planned=planned,
        noise=noise,
        wanted=wanted,
        shoulder=shoulder,
        pronation=programme.course("pronation", time_s),
        load_kg=load_kg,
    )


def _plan_excitation(
    subject: Subject, muscles: tuple[Muscle, Muscle], torque: Array, wanted: Course
) -> Array:
    """Return the excitation (n, 2) that would give `torque` along the wanted course."""
    smooth = np.sqrt(torque**2 + TURNOVER_NM**2)
    # What both muscles give against each other grows with the effort.
    both = (1.0 + 2.0 * subject.cocontraction) * smooth
    ahead = round(subject.delay_s * RATE_HZ)
    planned = np.empty((torque.size, 2))
    for column, (muscle, part) in enumerate(
        zip(muscles, (0.5 * (both + torque), 0.5 * (both - torque)), strict=True)
    ):
        activation = muscle.activation_for(part, wanted.angle, wanted.rate)
        # Nobody plans corners: without this smoothing the derivative below asks for spikes.
        width = 40
        window = np.hanning(width + 1)
        padded = np.pad(activation, width // 2, mode="edge")
        activation = np.convolve(padded, window / window.sum(), mode="valid")
        planned[:, column] = excitation_for(_earlier(activation, ahead), RATE_HZ)
    return planned


def _earlier(values: Array, samples: int) -> Array:
    return np.concatenate([values[samples:], np.repeat(values[-1:], samples)])


def _integrate(
    *,
    subject: Subject,
    muscles: tuple[Muscle, Muscle],
    planned: Array,
    noise: Array,
    wanted: Course,
    shoulder: Shoulder,
    pronation: Course,
    load_kg: Array,
) -> Motion:
    """Advance activation, fatigue and the elbow by semi-implicit Euler steps of 1 ms."""
    n = load_kg.size
    along, across = carried_torque(subject, load_kg, shoulder)
    moment = inertia(subject, load_kg)
    bandwidth = subject.feedback_rad_s
    delay = round(subject.delay_s * RATE_HZ)
    feedback_delay = round(FEEDBACK_DELAY_S * RATE_HZ)
    flexor, extensor = muscles
    strengths = (flexor.isometric_nm, extensor.isometric_nm)

    # Plain lists: reading one element of an array costs more than all the arithmetic on it.
    lists = [
        values.tolist()
        for values in (
            planned[:, 0],
            planned[:, 1],
            noise[:, 0],
            noise[:, 1],
            shoulder.flexion.angle,
            shoulder.flexion.acceleration,
            along,
            across,
            moment,
        )
    ]
    wanted_angles, wanted_rates = wanted.angle.tolist(), wanted.rate.tolist()
    angles = [0.0] * n
    rates = [0.0] * n
    accelerations = [0.0] * n
    torques = [0.0] * n
    excitations = ([TONE] * n, [TONE] * n)
    activations = ([0.0] * n, [0.0] * n)
    fatigues = ([0.0] * n, [0.0] * n)

    angle, rate = float(wanted.angle[0]), 0.0
    active = [float(planned[0, 0]), float(planned[0, 1])]
    tired = [0.0, 0.0]
    lasting_error = 0.0
    for i, (
        plan_flex,
        plan_extend,
        noise_flex,
        noise_extend,
        upper_angle,
        upper_acceleration,
        gravity,
        pivot,
        inertia_now,
    ) in enumerate(zip(*lists, strict=True)):
        # Feedback: the error as it was felt, as a torque, shared out between the muscles.
        correction = 0.0
        if i >= feedback_delay:
            felt = i - feedback_delay
            error = wanted_angles[felt] - angles[felt]
            error_rate = wanted_rates[felt] - rates[felt]
            lasting_error += STEP_S * error
            stiffness = inertia_now * bandwidth**2 - POSTURE_STIFFNESS * gravity
            correction = (
                stiffness * (error + lasting_error / NOTICE_S)
                + 1.4 * inertia_now * bandwidth * error_rate
            )
        commands = (
            (plan_flex + correction / strengths[0], noise_flex),
            (plan_extend - correction / strengths[1], noise_extend),
        )
        for m, (command, noise_now) in enumerate(commands):
            # Tiredness is felt, and most of it made up for.
            effort = (1.0 + 0.8 * tired[m] / (1.0 - tired[m])) * (1.0 + noise_now)
            excitations[m][i] = min(max(command * effort, TONE), 1.0)
            activations[m][i] = active[m]
            fatigues[m][i] = tired[m]

        torque = flexor.torque(active[0], angle, rate) * (1.0 - tired[0]) + extensor.torque(
            active[1], angle, rate
        ) * (1.0 - tired[1])
        psi = upper_angle + angle
        acceleration = (
            torque
            + passive_torque(subject, angle, rate)
            + gravity * math.sin(psi)
            + pivot * math.cos(psi)
        ) / inertia_now - upper_acceleration
        angles[i], rates[i], accelerations[i], torques[i] = angle, rate, acceleration, torque

        rate += STEP_S * acceleration
        angle += STEP_S * rate
        for m in (0, 1):
            arriving = excitations[m][i - delay] if i >= delay else active[m]
            tired[m] += STEP_S * (
                subject.fatigue_rate_s * active[m] * (1.0 - tired[m])
                - subject.recovery_rate_s * tired[m]
            )
            active[m] += STEP_S * activation_rate(arriving, active[m])

    return Motion(
        elbow=Course(np.array(angles), np.array(rates), np.array(accelerations)),
        wanted=wanted,
        shoulder=shoulder,
        pronation=pronation,
        excitation=np.array(excitations).T,
        activation=np.array(activations).T,
        fatigue=np.array(fatigues).T,
        muscle_torque=np.array(torques),
        load_kg=load_kg,
    )


def _sway(rng: np.random.Generator, flexion: Course, time_s: Array) -> Shoulder:
    """Add the small unplanned motion of shoulder and trunk: a few slow sines with random phases."""
    sway = _sines(rng, time_s, rms=math.radians(0.8))
    trunk = [_sines(rng, time_s, rms=rms).acceleration for rms in (0.006, 0.004, 0.002)]
    return Shoulder(
        flexion=Course(*(plan + extra for plan, extra in zip(flexion, sway, strict=True))),
        abduction=_sines(rng, time_s, rms=math.radians(1.0)),
        trunk_m_s2=np.stack(trunk, axis=1),
    )


def _sines(rng: np.random.Generator, time_s: Array, *, rms: float, count: int = 6) -> Course:
    """Return a sum of sines between 0.15 and 1 Hz, exact in its derivatives."""
    angular = 2.0 * np.pi * rng.uniform(0.15, 1.0, count)
    weights = rng.normal(0.0, 1.0, count) / angular
    weights *= rms * math.sqrt(2.0) / np.linalg.norm(weights)
    phase = np.outer(time_s, angular) + rng.uniform(0.0, 2.0 * np.pi, count)
    return Course(
        np.sin(phase) @ weights,
        np.cos(phase) @ (weights * angular),
        -np.sin(phase) @ (weights * angular**2),
    )


def _motor_noise(rng: np.random.Generator, time_s: Array) -> Array:
    """Return (n, 2) noise of unit variance, in parts of the command: drift below 3 Hz, and tremor.

    Physiological tremor is a peak at 8 to 12 Hz, here with a fifth of the variance.
    """
    from scipy import signal

    white = rng.normal(0.0, 1.0, (2, time_s.size, 2))
    drift = signal.lfilter(*signal.butter(2, 3.0, fs=RATE_HZ), white[0], axis=0)
    tremor = signal.lfilter(
        *signal.butter(1, (8.0, 12.0), "bandpass", fs=RATE_HZ), white[1], axis=0
    )
    noise: Array = math.sqrt(0.8) * drift / drift.std(axis=0) + math.sqrt(0.2) * (
        tremor / tremor.std(axis=0)
    )
    return noise
