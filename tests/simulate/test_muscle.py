"""The muscle's equations against the properties their sources state."""

import math

import numpy as np
import pytest

from myowave.simulate.muscle import (
    A_F,
    F_LENGTHENING,
    T_ACTIVATION_S,
    T_DEACTIVATION_S,
    activation_rate,
    excitation_for,
    extensors,
    flexors,
    force_velocity,
)

ANGLES = np.radians(np.linspace(0.0, 140.0, 57))


def test_moment_arms_of_the_biceps_and_triceps_are_those_of_the_literature():
    # Pigeon et al. (1996), figures 3 and 5: about 48 mm and -19 mm at 90°.
    assert flexors(60.0).moment_arm(math.pi / 2) == pytest.approx(0.048, abs=0.001)
    assert extensors(40.0).moment_arm(math.pi / 2) == pytest.approx(-0.019, abs=0.001)


@pytest.mark.parametrize("muscle", [flexors(60.0), extensors(40.0)])
def test_fibre_length_changes_with_angle_by_the_moment_arm(muscle):
    # Virtual work: dl/dθ = -r/L0, or the muscle would make energy out of nothing.
    slope = np.gradient(muscle.length(ANGLES), ANGLES)[1:-1]
    np.testing.assert_allclose(
        slope, (-muscle.moment_arm(ANGLES) / muscle.fibre_m)[1:-1], rtol=5e-3
    )
    assert np.all((muscle.length(ANGLES) > 0.45) & (muscle.length(ANGLES) < 1.5))


def test_isometric_torque_is_the_strength_at_90_degrees_and_peaks_near_it():
    torque = flexors(60.0).torque(np.ones_like(ANGLES), ANGLES, np.zeros_like(ANGLES))
    assert flexors(60.0).torque(1.0, math.pi / 2, 0.0) == pytest.approx(60.0)
    assert 70.0 < np.degrees(ANGLES[np.argmax(torque)]) < 110.0
    assert extensors(40.0).torque(1.0, math.pi / 2, 0.0) == pytest.approx(-40.0)


def test_force_falls_when_shortening_and_rises_to_its_limit_when_lengthening():
    assert force_velocity(0.0, 1.0) == 1.0
    # Hill's hyperbola: (1 + k)/(1 - k/A_f), here at half the greatest speed.
    assert force_velocity(-5.0, 1.0) == pytest.approx(0.5 / (1.0 + 0.5 / A_F))
    assert force_velocity(-10.0, 1.0) == 0.0
    assert force_velocity(-30.0, 1.0) == 0.0
    speeds = np.linspace(-9.9, 50.0, 400)
    force = force_velocity(speeds, np.ones_like(speeds))
    assert np.all(np.diff(force) > 0.0)
    assert force[-1] < F_LENGTHENING
    assert force[-1] == pytest.approx(F_LENGTHENING, abs=0.02)


def test_activation_solves_the_torque_it_is_asked_for():
    rng = np.random.default_rng(0)
    muscle = flexors(60.0)
    angle, rate = rng.uniform(0.1, 2.2, 500), rng.uniform(-3.0, 3.0, 500)
    activation = rng.uniform(0.0, 0.95, 500)
    torque = muscle.torque(activation, angle, rate)
    np.testing.assert_allclose(
        muscle.torque(muscle.activation_for(torque, angle, rate), angle, rate), torque, atol=0.02
    )


def test_one_definition_serves_floats_and_arrays():
    angle, rate = np.array([0.3, 1.2, 2.0]), np.array([-2.0, 0.0, 2.5])
    activation = np.array([0.1, 0.5, 0.9])
    muscle = flexors(60.0)
    singly = [
        muscle.torque(float(a), float(q), float(v))
        for a, q, v in zip(activation, angle, rate, strict=True)
    ]
    np.testing.assert_allclose(muscle.torque(activation, angle, rate), singly, rtol=1e-14)


def test_activation_rises_and_falls_with_the_stated_time_constants():
    assert activation_rate(0.5, 0.5) == 0.0
    assert activation_rate(0.6, 0.2) == pytest.approx(0.4 / (T_ACTIVATION_S * 0.8))
    assert activation_rate(0.0, 0.2) == pytest.approx(-0.2 * 0.8 / T_DEACTIVATION_S)


def test_excitation_found_for_an_activation_gives_that_activation():
    time = np.arange(4000) / 1000.0
    wanted = 0.3 + 0.2 * np.sin(2.0 * np.pi * 0.7 * time)
    excitation = excitation_for(wanted, 1000.0)
    activation = np.empty_like(wanted)
    state = float(wanted[0])
    for i, command in enumerate(excitation.tolist()):
        activation[i] = state
        state += 1e-3 * activation_rate(command, state)
    np.testing.assert_allclose(activation, wanted, atol=2e-3)
