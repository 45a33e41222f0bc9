"""The arm: motion is what the torques make of it, and comes after the excitation."""

import math

import numpy as np
import pytest
from scipy import signal

from myowave.simulate import Simulation, draw_subject, simulate_truth
from myowave.simulate.arm import (
    Shoulder,
    inertia,
    move_arm,
    net_torque,
    passive_torque,
)
from myowave.simulate.muscle import activation_rate, extensors, flexors
from myowave.simulate.programme import Course, Move, Programme, minimum_jerk

G = 9.80665


def still(n: int, angle: float = 0.0) -> Course:
    return Course(np.full(n, angle), np.zeros(n), np.zeros(n))


def test_minimum_jerk_reaches_its_targets_with_consistent_derivatives():
    time = np.arange(3000) / 1000.0
    course = minimum_jerk(time, 0.2, [Move(0.5, 0.8, 1.6), Move(1.5, 1.0, 0.1)])
    assert course.angle[0] == 0.2
    assert course.angle[1400] == 1.6
    assert course.angle[-1] == 0.1
    np.testing.assert_allclose(np.gradient(course.angle, 1e-3), course.rate, atol=2e-3)
    np.testing.assert_allclose(np.gradient(course.rate, 1e-3), course.acceleration, atol=0.06)
    # Flash & Hogan (1985): peak speed is 1.875 times the mean.
    assert course.rate.max() == pytest.approx(1.875 * 1.4 / 0.8, rel=1e-4)


def test_torque_of_a_still_forearm_holds_its_weight():
    subject = draw_subject(1, 1)
    shoulder = Shoulder(still(1), still(1), np.zeros((1, 3)))
    load = np.array([4.0])
    needed = net_torque(subject, load, shoulder, still(1, math.pi / 2))[0]
    forearm = 0.022 * subject.mass_kg * 0.682 * subject.forearm_m
    weight = G * (forearm + 4.0 * subject.grip_m)
    passive = passive_torque(subject, math.pi / 2, 0.0)
    assert needed + passive == pytest.approx(weight, rel=1e-9)
    assert inertia(subject, load)[0] > 4.0 * subject.grip_m**2


def test_recorded_torque_is_what_the_motion_needs(trial: Simulation):
    # Inverse dynamics of the motion that came out gives back the torque that went in.
    motion = trial.motion
    needed = net_torque(trial.subject, motion.load_kg, motion.shoulder, motion.elbow)
    np.testing.assert_allclose(needed, motion.muscle_torque, atol=1e-8)


def test_recorded_torque_is_what_the_muscles_give(trial: Simulation):
    motion, subject = trial.motion, trial.subject
    torque = sum(
        muscle.torque(motion.activation[:, m], motion.elbow.angle, motion.elbow.rate)
        * (1.0 - motion.fatigue[:, m])
        for m, muscle in enumerate((flexors(subject.flexion_nm), extensors(subject.extension_nm)))
    )
    np.testing.assert_allclose(torque, motion.muscle_torque, atol=1e-9)


def test_energy_balances():
    # Work of the muscles = kinetic + potential energy gained + what the passive elbow took.
    subject = draw_subject(2, 1)
    time = np.arange(4000) / 1000.0
    moves = {"elbow": [Move(1.0, 1.2, 1.8)], "shoulder": [], "pronation": []}
    start = {"elbow": -subject.hang_rad, "shoulder": subject.hang_rad, "pronation": 0.0}
    programme = Programme(start, moves, [(0.0, 3.0)])
    motion = move_arm(np.random.default_rng(0), subject, programme, time)
    upper, elbow = motion.shoulder.flexion, motion.elbow
    # On the moving elbow joint only the part of the motion relative to it is simple; compare with
    # the generalized forces the sway exerts.
    psi, psi_rate = upper.angle + elbow.angle, upper.rate + elbow.rate
    moment = subject.moment_of_mass(3.0)
    mass_inertia = subject.moment_of_inertia(3.0)
    length = subject.upper_arm_m
    forward = motion.shoulder.trunk_m_s2[:, 0] + length * (
        upper.acceleration * np.cos(upper.angle) - upper.rate**2 * np.sin(upper.angle)
    )
    upward = motion.shoulder.trunk_m_s2[:, 2] + length * (
        upper.acceleration * np.sin(upper.angle) + upper.rate**2 * np.cos(upper.angle)
    )
    pivot = -moment * (forward * np.cos(psi) + upward * np.sin(psi))
    passive = passive_torque(subject, elbow.angle, elbow.rate)
    power = (motion.muscle_torque + passive + pivot) * psi_rate
    energy = 0.5 * mass_inertia * psi_rate**2 - moment * G * np.cos(psi)
    gained = energy - energy[0]
    np.testing.assert_allclose(np.cumsum(power) * 1e-3, gained, atol=0.01 * np.ptp(energy))


def test_the_arm_follows_its_programme_but_not_perfectly(trial: Simulation):
    error = np.degrees(trial.motion.elbow.angle - trial.motion.wanted.angle)
    assert 0.3 < np.sqrt(np.mean(error**2)) < 8.0
    assert np.degrees(trial.motion.elbow.angle).min() > -10.0
    assert np.degrees(trial.motion.elbow.angle).max() < 150.0


def test_no_load_runs_away():
    # Extending under load, muscles lose leverage faster than gravity does: feedback has to hold.
    for seed in (101, 102):
        motion = simulate_truth(60.0, seed, subject=seed - 100).motion
        error = np.degrees(np.abs(motion.elbow.angle - motion.wanted.angle))
        assert np.convolve(error, np.ones(1000) / 1000.0, "valid").max() < 25.0


def test_activation_follows_excitation_after_the_electromechanical_delay(trial: Simulation):
    # Excitation rebuilt from the activation dynamics, ȧ T + a, is the excitation one delay ago.
    activation = trial.motion.activation[:, 0]
    excitation = trial.motion.excitation[:, 0]
    slope = np.diff(activation) * 1000.0
    unit_rise = np.array([activation_rate(a + 1e-6, a) for a in activation[:-1]]) / 1e-6
    unit_fall = np.array([-activation_rate(a - 1e-6, a) for a in activation[:-1]]) / 1e-6
    arrived = activation[:-1] + slope / np.where(slope > 0.0, unit_rise, unit_fall)
    lags = np.arange(0, 121)
    fits = [
        np.corrcoef(excitation[200 - lag : 50_000 - lag], arrived[200:50_000])[0, 1] for lag in lags
    ]
    assert lags[int(np.argmax(fits))] == round(trial.subject.delay_s * 1000.0)
    assert max(fits) > 0.999
    assert 0.030 <= trial.subject.delay_s <= 0.060


def test_torque_lags_the_excitation_by_delay_and_activation_time(trial: Simulation):
    # What an experimenter would measure: cross-correlation of excitation and torque.
    low_pass = signal.butter(2, 6.0, fs=1000, output="sos")
    excitation = signal.sosfiltfilt(low_pass, trial.motion.excitation[:, 0])
    activation = signal.sosfiltfilt(low_pass, trial.motion.activation[:, 0])
    excitation -= excitation.mean()
    activation -= activation.mean()
    correlation = signal.correlate(activation, excitation, mode="full")
    lag_s = (np.argmax(correlation) - (excitation.size - 1)) / 1000.0
    assert trial.subject.delay_s < lag_s < trial.subject.delay_s + 0.080
