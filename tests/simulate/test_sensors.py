"""The sensors: known motions give known readings, and EMG looks like EMG."""

import math

import numpy as np
import pytest
from scipy import signal

from myowave.imu import IMUS, to_counts
from myowave.simulate import Simulation, draw_session, draw_subject, simulate, simulate_truth
from myowave.simulate.arm import Motion, Shoulder
from myowave.simulate.programme import Course
from myowave.simulate.sensors import coloured_noise, wrist_motion
from myowave.simulate.subject import IMU_FROM_WRIST_M, IMU_RADIUS_M

G = 9.80665


def course(angle, rate=0.0, acceleration=0.0, n: int = 3) -> Course:
    return Course(*(np.broadcast_to(np.asarray(x, float), n) for x in (angle, rate, acceleration)))


def motion_of(elbow: Course, shoulder: Course | None = None, pronation: Course | None = None):
    n = elbow.angle.size
    nothing = course(0.0, n=n)
    return Motion(
        elbow=elbow,
        wanted=elbow,
        shoulder=Shoulder(shoulder or nothing, nothing, np.zeros((n, 3))),
        pronation=pronation or nothing,
        excitation=np.zeros((n, 2)),
        activation=np.zeros((n, 2)),
        fatigue=np.zeros((n, 2)),
        muscle_torque=np.zeros(n),
        load_kg=np.zeros(n),
    )


def test_a_still_arm_shows_gravity_alone():
    subject = draw_subject(1, 1)
    hanging, _ = wrist_motion(subject, motion_of(course(0.0)))
    np.testing.assert_allclose(hanging[0], [0.0, 0.0, G], atol=1e-12)
    # Forearm level, supinated: the specific force (up) leaves through the palm side, +x.
    level, rate = wrist_motion(subject, motion_of(course(math.pi / 2)))
    np.testing.assert_allclose(level[0], [G, 0.0, 0.0], atol=1e-12)
    np.testing.assert_allclose(rate, 0.0)


def test_constant_rotation_gives_the_centripetal_acceleration():
    subject = draw_subject(1, 1)
    omega = 4.0
    force, rate = wrist_motion(subject, motion_of(course(0.0, omega)))
    radius = subject.forearm_m - IMU_FROM_WRIST_M
    # Towards the elbow (+z) for the distance along the forearm, inwards (+x) for the one off it.
    np.testing.assert_allclose(force[0], [omega**2 * IMU_RADIUS_M, 0.0, G + omega**2 * radius])
    np.testing.assert_allclose(rate[0], [0.0, -omega, 0.0])


def test_angular_acceleration_gives_the_tangential_acceleration():
    subject = draw_subject(1, 1)
    alpha = 10.0
    force, _ = wrist_motion(subject, motion_of(course(0.0, 0.0, alpha)))
    radius = subject.forearm_m - IMU_FROM_WRIST_M
    np.testing.assert_allclose(force[0], [alpha * radius, 0.0, G + alpha * -IMU_RADIUS_M])


def test_a_moving_chain_agrees_with_differentiating_its_position():
    # Shoulder, elbow and pronation all turning: compare with the second derivative of the position.
    subject = draw_subject(1, 1)
    step = 1e-4
    time = np.arange(2000) * step

    def wave(amplitude: float, omega: float) -> Course:
        return Course(
            amplitude * np.sin(omega * time),
            amplitude * omega * np.cos(omega * time),
            -amplitude * omega**2 * np.sin(omega * time),
        )

    shoulder, elbow, pronation = wave(0.5, 6.0), wave(1.1, 9.0), wave(0.7, 5.0)
    force, _ = wrist_motion(subject, motion_of(elbow, shoulder, pronation))

    def turn(axis: str, angle):
        c, s, o, i = np.cos(angle), np.sin(angle), np.zeros_like(angle), np.ones_like(angle)
        rows = {"-y": [[c, o, -s], [o, i, o], [s, o, c]], "z": [[c, -s, o], [s, c, o], [o, o, i]]}
        return np.moveaxis(np.array(rows[axis]), 2, 0)

    upper = turn("-y", shoulder.angle)
    wrist = upper @ turn("-y", elbow.angle) @ turn("z", pronation.angle)
    imu = np.array([-IMU_RADIUS_M, 0.0, -(subject.forearm_m - IMU_FROM_WRIST_M)])
    position = upper @ np.array([0.0, 0.0, -subject.upper_arm_m]) + wrist @ imu
    acceleration = np.diff(position, 2, axis=0) / step**2 + np.array([0.0, 0.0, G])
    expected = np.einsum("nij,ni->nj", wrist[1:-1], acceleration)
    np.testing.assert_allclose(force[1:-1], expected, atol=2e-3)


def test_gyroscope_integrates_to_the_change_of_angle(trial: Simulation):
    force_rate = wrist_motion(trial.subject, trial.motion)[1]
    # About the flexion axis, before the forearm's own turn: undo pronation.
    angle = trial.motion.pronation.angle
    about_flexion = -(force_rate[:, 1] * np.cos(angle) + force_rate[:, 0] * np.sin(angle))
    total = trial.motion.elbow.angle + trial.motion.shoulder.flexion.angle
    np.testing.assert_allclose(
        np.cumsum(about_flexion)[:-1] * 1e-3, np.diff(total).cumsum(), atol=0.02
    )


def test_a_recorded_hold_measures_g(trial: Simulation):
    hold = next(bout for bout in trial.bouts if bout.kind == "hold")
    middle = slice(
        int(1000 * (0.5 * (hold.start_s + hold.end_s) - 0.3)),
        int(1000 * (0.5 * (hold.start_s + hold.end_s) + 0.3)),
    )
    acc = trial.recording.acc[middle] - trial.session.acc_bias_m_s2
    assert np.linalg.norm(acc.mean(axis=0)) == pytest.approx(G, abs=0.25)
    # ...while the muscle works: an IMU at rest does not mean a muscle at rest.
    assert trial.motion.excitation[middle, 0].mean() > 5.0 * 0.01


@pytest.mark.parametrize("imu", sorted(IMUS))
def test_samples_are_whole_counts_of_the_named_part(imu):
    recording = simulate(6.0, 2, imu=imu)
    part = IMUS[imu]
    counts = to_counts(recording.acc, recording.gyro, part)
    np.testing.assert_array_equal(counts * part.lsb, np.hstack([recording.acc, recording.gyro]))


def test_a_flipped_sensor_turns_x_and_y_over_and_nothing_else():
    worn, flipped = (simulate_truth(6.0, 2, flipped=f) for f in (False, True))
    turned = np.array([-1.0, -1.0, 1.0])
    bias = worn.session.acc_bias_m_s2
    mean = worn.recording.acc.mean(axis=0) - bias
    np.testing.assert_allclose(flipped.recording.acc.mean(axis=0) - bias, turned * mean, atol=0.05)
    np.testing.assert_array_equal(flipped.recording.emg, worn.recording.emg)
    assert flipped.session.flipped


def test_mounting_is_a_rotation_near_the_nominal_one():
    for day in range(1, 6):
        mounting = draw_session(3, 1, day).mounting
        np.testing.assert_allclose(mounting @ mounting.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(mounting) == pytest.approx(1.0)
        assert mounting[0, 2] > 0.8


def test_emg_noise_has_the_stated_spectrum_and_unit_variance():
    noise = coloured_noise(np.random.default_rng(0), 200_000, 45.0, 90.0)
    assert noise.std() == pytest.approx(1.0, rel=0.02)
    frequency, power = signal.welch(noise, 1000, nperseg=1000)
    shape = frequency**2 / ((frequency**2 + 45.0**2) * (frequency**2 + 90.0**2) ** 2)
    band = (frequency > 25) & (frequency < 440)
    ratio = power[band] / shape[band]
    np.testing.assert_allclose(ratio, np.median(ratio), rtol=0.4)
    assert power[(frequency < 15) | (frequency > 460)].sum() < 0.01 * power.sum()


def test_emg_amplitude_follows_the_excitation_not_the_motion(trial: Simulation):
    low_pass = signal.butter(2, 6.0, fs=1000, output="sos")
    band = signal.butter(4, (20.0, 450.0), "bandpass", fs=1000, output="sos")
    rectified = np.abs(signal.sosfiltfilt(band, trial.recording.emg[:, 0]))
    envelope = signal.sosfiltfilt(low_pass, rectified)
    excitation = signal.sosfiltfilt(low_pass, trial.motion.excitation[:, 0])
    lags = range(-100, 101, 5)
    fits = [np.corrcoef(envelope[200 + k : 59_000 + k], excitation[200:59_000])[0, 1] for k in lags]
    assert max(fits) > 0.9
    assert abs(list(lags)[int(np.argmax(fits))]) <= 10


def test_emg_of_the_trial_looks_recorded(trial: Simulation):
    emg = trial.recording.emg
    frequency, power = signal.welch(emg[:, 0], 1000, nperseg=2000)
    share = power / power.sum()
    assert share[frequency < 20].sum() < 0.15
    assert 40.0 < frequency[np.searchsorted(np.cumsum(share), 0.5)] < 140.0
    # Biceps carries the dumbbell; triceps is along for control.
    assert emg[:, 0].std() > 2.0 * emg[:, 1].std()
    assert 0.05 < emg[:, 0].std() < 3.0
    rest = np.concatenate(
        [
            emg[int(b.start_s * 1000 + 300) : int(b.end_s * 1000 - 300), 0]
            for b in trial.bouts
            if b.kind == "rest"
        ]
    )
    curls = np.concatenate(
        [
            emg[int(b.start_s * 1000) : int(b.end_s * 1000), 0]
            for b in trial.bouts
            if b.kind == "curls"
        ]
    )
    assert rest.std() < 0.25 * curls.std()


def test_mains_hum_is_there_at_the_sessions_frequency():
    session = draw_session(1, 1, 1)
    assert session.hum_hz in (50.0, 60.0)
    assert 0.0 < session.hum_mv <= 0.010
