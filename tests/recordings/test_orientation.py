"""Turned sensors are found among any recordings, whichever way most of them sit."""

import json
from dataclasses import replace

import numpy as np
import pytest

from myowave.errors import ConfigError
from myowave.imu import G_M_S2
from myowave.orientation import (
    TURNS,
    Orientation,
    OrientationReference,
    align,
    apply,
    estimate,
    fit_reference,
)
from myowave.recording import Recording


def curl(seed: int, offset: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Recording:
    """Curls of one person on one day: forearm hanging, lifted, put down; strap a little askew."""
    rng = np.random.default_rng(seed)
    t = np.arange(25_000) / 1000
    period = rng.uniform(2.0, 3.5)
    lift = 0.5 - 0.5 * np.cos(2 * np.pi * t / period)
    angle = rng.uniform(1.8, 2.3) * lift**1.5
    angle[t > rng.uniform(18, 24)] = 0.0
    acc = G_M_S2 * np.column_stack([np.cos(angle), np.full_like(t, -0.15), -np.sin(angle)])
    gyro = np.column_stack([0 * t, np.gradient(angle, 1e-3), 0 * t])
    skew = rng.normal(0, 0.12, 3)
    turn = np.eye(3) + np.array(
        [[0, -skew[2], skew[1]], [skew[2], 0, -skew[0]], [-skew[1], skew[0], 0]]
    )
    q, _ = np.linalg.qr(turn)
    q *= np.sign(np.diag(q))
    return Recording(
        acc=acc @ q.T + 0.3 * rng.standard_normal(acc.shape),
        gyro=gyro @ q.T + 0.05 * rng.standard_normal(acc.shape) + offset,
        emg=np.zeros((len(t), 0)),
        muscles=(),
        subject="S",
        day="",
        name=f"curl {seed}",
    )


def turned(recording: Recording, turn: str) -> Recording:
    """The same movement with the sensor strapped on turned; its own offset does not turn."""
    signs = np.array(TURNS[turn])
    offset = recording.gyro.mean(axis=0)
    return replace(
        recording, acc=recording.acc * signs, gyro=(recording.gyro - offset) * signs + offset
    )


@pytest.mark.parametrize("seed", range(5))
def test_turns_among_a_set_are_found(seed: int) -> None:
    """A minority turned in any of the three ways; a strong gyroscope offset must not matter."""
    rng = np.random.default_rng(seed)
    turns = list(rng.permutation(["none"] * 5 + ["180x", "180y", "180z"]))
    recordings = [
        turned(curl(10 * seed + i, (-0.3, -0.15, 0.03)), turn) for i, turn in enumerate(turns)
    ]
    found = estimate(recordings)
    assert [one.turn for one in found] == turns
    assert all(one.certain for one in found)
    # What is put right looks alike afterwards, and stays as it is.
    assert {one.turn for one in estimate(align(recordings))} == {"none"}


def test_the_majority_is_taken_as_right_and_the_first_in_a_tie() -> None:
    most = [turned(curl(i), "180z" if i != 2 else "none") for i in range(5)]
    assert [one.turn for one in estimate(most)] == ["none", "none", "180z", "none", "none"]
    tie = [curl(0), turned(curl(1), "180z")]
    assert [one.turn for one in estimate(tie)] == ["none", "180z"]


def test_one_recording_against_a_stored_reference() -> None:
    reference = fit_reference([curl(i) for i in range(6)])
    stored = OrientationReference.from_json(json.loads(json.dumps(reference.to_json())))
    for turn in TURNS:
        (found,) = estimate([turned(curl(50), turn)], stored)
        assert (found.turn, found.certain) == (turn, True)
    (alone,) = estimate([curl(50)])
    assert (alone.turn, alone.certain) == ("none", False)


def test_what_cannot_be_told_is_left_alone() -> None:
    """Lying flat and spinning about z looks the same after a turn about z."""
    rng = np.random.default_rng(0)
    flat = [
        Recording(
            acc=np.column_stack([0 * t, 0 * t, 0 * t + G_M_S2]) + rng.normal(0, 0.3, (8000, 3)),
            gyro=rng.normal(0, 0.5, (8000, 3)),
            emg=np.zeros((8000, 0)),
            muscles=(),
            subject="",
            day="",
            name=str(i),
        )
        for i, t in enumerate([np.arange(8000)] * 4)
    ]
    found = estimate(flat)
    assert all(one.turn == "none" and not one.certain for one in found)
    assert align(flat)[0].acc.tobytes() == flat[0].acc.tobytes()


def test_apply_undoes_a_turn_and_records_it() -> None:
    right = curl(1, (-0.3, -0.15, 0.03))
    wrong = turned(right, "180z")
    corrected = apply(wrong, Orientation("180z", 5.0))
    np.testing.assert_allclose(corrected.acc, right.acc, atol=1e-12)
    np.testing.assert_allclose(corrected.gyro, right.gyro, atol=1e-12)
    assert corrected.provenance["orientation"] == {
        "turn": "180z", "margin": 5.0, "certain": True,
    }  # fmt: skip
    back = apply(corrected, Orientation("180z", 5.0))
    assert back.provenance["orientation"]["turn"] == "none"
    np.testing.assert_allclose(back.gyro, wrong.gyro, atol=1e-12)
    twice = apply(corrected, Orientation("180x", 5.0))
    assert twice.provenance["orientation"]["turn"] == "180y"


def test_turns_are_rotations_that_undo_themselves() -> None:
    for signs in TURNS.values():
        assert np.prod(signs) == 1
        assert all(sign * sign == 1 for sign in signs)


def test_nothing_to_compare_and_bad_references() -> None:
    assert estimate([]) == []
    with pytest.raises(ConfigError, match="no recordings"):
        fit_reference([])
    good = fit_reference([curl(0)]).to_json()
    for broken in ({}, {**good, "real": [1.0]}, {**good, "frequencies": [[1.0]]}):
        with pytest.raises(ConfigError, match="orientation reference"):
            OrientationReference.from_json(broken)
