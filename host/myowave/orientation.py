"""Which recordings were made with the sensor strapped on the other way round, and putting it right.

A wearable sits on a strap in one of four ways that look alike: as intended, or turned by 180° about
one of its axes. Gravity at rest alone is a poor guide, because people also rest with the arm bent.
So whole recordings are compared: how often the six channels took which values together, each
recording being described by the characteristic function of that distribution at a fixed set of
frequencies (Feuerverger & Mureika, The empirical characteristic function, Ann. Stat. 5, 1977). The
set holds every frequency in its four turned forms, so that turning a recording only permutes its
description. Turns are chosen jointly: turned the right way, all recordings lie closest together,
and none needs to be known as right beforehand.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myowave.errors import ConfigError
from myowave.imu import G_M_S2
from myowave.recording import RATE_HZ, Recording

TURNS: dict[str, tuple[int, int, int]] = {
    "none": (1, 1, 1),
    "180x": (1, -1, -1),
    "180y": (-1, 1, -1),
    "180z": (-1, -1, 1),
}
"""The proper rotations that only change signs; each undoes itself."""

MIN_MARGIN = 1.2
"""Least ratio of distances, next best turn to best; below it a recording is left as it is."""

_BASE_FREQUENCIES = 64
# One cycle of a typical frequency spans 2 pi of these: gravity's own size, and a brisk movement.
_SCALE = np.repeat([G_M_S2, 4.0], 3)
_STEP = RATE_HZ // 25
# Mean squared distance at which two recordings worn alike may lie by chance alone.
_SAME = 0.005


@dataclass(frozen=True)
class Orientation:
    """How one recording's sensor was turned, relative to the others or to a reference.

    Attributes
    ----------
    turn : str
        Key of `TURNS`.
    margin : float
        How many times further the next best turn is from the reference than this one; under
        `MIN_MARGIN` nothing can be said and `turn` is "none".
    """

    turn: str
    margin: float

    @property
    def certain(self) -> bool:
        """Whether the data tell the four turns apart."""
        return self.margin >= MIN_MARGIN


@dataclass(frozen=True)
class OrientationReference:
    """What recordings look like when the sensor sits as intended.

    Attributes
    ----------
    frequencies : (k, 6) float64
        Where the characteristic function is taken, in rad per m/s² and rad per rad/s.
    values : (k,) complex128
        Its mean over the recordings.
    recordings : int
        Number of recordings it rests on.
    """

    frequencies: NDArray[np.float64]
    values: NDArray[np.complex128]
    recordings: int

    def to_json(self) -> dict[str, Any]:
        """Return the reference as JSON-able values."""
        return {
            "frequencies": np.round(self.frequencies, 6).tolist(),
            "real": np.round(self.values.real, 6).tolist(),
            "imag": np.round(self.values.imag, 6).tolist(),
            "recordings": self.recordings,
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "OrientationReference":
        """Read what `to_json` wrote; raise ConfigError where it does not fit."""
        try:
            frequencies = np.array(values["frequencies"], dtype=np.float64)
            real = np.array(values["real"], dtype=np.float64)
            imag = np.array(values["imag"], dtype=np.float64)
            recordings = int(values["recordings"])
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"orientation reference: {error!r} in its JSON") from None
        if (
            frequencies.ndim != 2
            or len(frequencies) % len(TURNS) != 0
            or frequencies.shape[1] != 6
            or real.shape != imag.shape
            or (real.shape != frequencies.shape[:1])
        ):
            raise ConfigError(
                f"orientation reference: shapes {frequencies.shape}, {real.shape}, {imag.shape}, "
                "expected (4 k, 6), (4 k,), (4 k,)"
            )
        return cls(frequencies, real + 1j * imag, recordings)


def estimate(
    recordings: Sequence[Recording], reference: OrientationReference | None = None
) -> list[Orientation]:
    """Find how each recording must be turned.

    Parameters
    ----------
    recordings : sequence of Recording
        Any number against a `reference`; without one they are compared with each other, and the
        orientation most of them share counts as the intended one (the first's, in a tie).
    reference : OrientationReference, optional
        What the orientation is judged by, from `fit_reference`.

    Returns
    -------
    list of Orientation
        One a recording.
    """
    if reference is not None:
        return [
            _judge(_turned_forms(recording, reference.frequencies), reference.values)
            for recording in recordings
        ]
    if len(recordings) < 2:
        return [Orientation("none", 0.0) for _ in recordings]
    frequencies = _frequencies()
    forms = np.array([_turned_forms(recording, frequencies) for recording in recordings])
    turns = _common_turns(_closest_turns(forms))
    chosen = forms[np.arange(len(forms)), turns]
    # Each is judged by the others alone.
    others = (chosen.sum(axis=0) - chosen) / (len(forms) - 1)
    return [_judge(own, other) for own, other in zip(forms, others, strict=True)]


def fit_reference(recordings: Sequence[Recording]) -> OrientationReference:
    """Return what well-oriented recordings look like, for judging others later."""
    if not recordings:
        raise ConfigError("orientation reference: no recordings to measure it on")
    frequencies = _frequencies()
    values = np.mean([_turned_forms(r, frequencies)[0] for r in recordings], axis=0)
    return OrientationReference(frequencies, values, len(recordings))


def apply(recording: Recording, orientation: Orientation) -> Recording:
    """Return the recording turned, with the correction in its provenance.

    The gyroscope's own offset, taken as its mean because a limb comes back to where it was, belongs
    to the sensor and stays: the result is what the same sensor would have given the right way
    round. The entry in the provenance tells the turn relative to the source file, so that turning
    twice adds up.
    """
    before = recording.provenance.get("orientation", {}).get("turn", "none")
    signs = np.array(TURNS[orientation.turn], dtype=np.float64)
    offset = recording.gyro.mean(axis=0)
    entry = {
        "turn": _product(before, orientation.turn),
        "margin": round(orientation.margin, 3),
        "certain": orientation.certain,
    }
    return replace(
        recording,
        acc=recording.acc * signs,
        gyro=np.where(signs > 0, recording.gyro, 2 * offset - recording.gyro),
        provenance={**recording.provenance, "orientation": entry},
    )


def align(
    recordings: Sequence[Recording], reference: OrientationReference | None = None
) -> list[Recording]:
    """Return the recordings with every sensor turned the same way (`estimate`, then `apply`)."""
    found = estimate(recordings, reference)
    return [
        apply(recording, orientation)
        for recording, orientation in zip(recordings, found, strict=True)
    ]


def _frequencies() -> NDArray[np.float64]:
    """Return (4 * base, 6) frequencies: a normal draw, then its three turned forms."""
    base = np.random.default_rng(0).standard_normal((_BASE_FREQUENCIES, 6)) / _SCALE
    return np.vstack([base * np.tile(signs, 2) for signs in TURNS.values()])


def _turned_forms(recording: Recording, frequencies: NDArray[np.float64]) -> NDArray[np.complex128]:
    """Return the (4, k) characteristic functions of the recording in each turn of `TURNS`.

    E[exp(i w (D x))] = E[exp(i (D w) x)]: turning the samples permutes the four blocks of
    frequencies. In the order of `TURNS` two turns make the one whose index is their XOR.
    """
    gyro = recording.gyro - recording.gyro.mean(axis=0)  # without the sensor's own offset
    samples = np.hstack([recording.acc, gyro])
    count = len(samples) // _STEP
    if count:
        # 25 Hz holds nearly all of human movement; means over 40 ms keep impacts out.
        samples = samples[: count * _STEP].reshape(count, _STEP, 6).mean(axis=1)
    values = np.exp(1j * (samples @ frequencies.T)).mean(axis=0)
    blocks = values.reshape(len(TURNS), -1)
    return np.array([blocks[np.arange(len(TURNS)) ^ turn].ravel() for turn in range(len(TURNS))])


def _judge(forms: NDArray[np.complex128], reference: NDArray[np.complex128]) -> Orientation:
    distances = np.mean(np.abs(forms - reference) ** 2, axis=1)
    best, second = np.argsort(distances, kind="stable")[:2]
    margin = float((distances[second] + _SAME) / (distances[best] + _SAME))
    turn = list(TURNS)[best] if margin >= MIN_MARGIN else "none"
    return Orientation(turn, margin)


def _closest_turns(forms: NDArray[np.complex128]) -> NDArray[np.int64]:
    """Return the turn of each recording, by index, under which all lie closest to their mean.

    Means and turns are fitted in turn until they agree, from every recording as the first mean;
    the tightest result counts.
    """
    everyone = np.arange(len(forms))
    best_turns = np.zeros(len(forms), dtype=np.int64)
    best_spread = np.inf
    for start in everyone:
        mean = forms[start, 0]
        turns = np.full(len(forms), -1)
        for _ in range(50):
            previous = turns
            turns = np.argmin(np.sum(np.abs(forms - mean) ** 2, axis=2), axis=1)
            mean = forms[everyone, turns].mean(axis=0)
            if np.array_equal(turns, previous):
                break
        spread = float(np.sum(np.abs(forms[everyone, turns] - mean) ** 2))
        if spread < best_spread * (1 - 1e-9):
            best_spread, best_turns = spread, turns
    return best_turns


def _common_turns(turns: NDArray[np.int64]) -> list[int]:
    """Return the same turns with the most frequent one as "none"; the first wins a tie."""
    names = list(TURNS)
    (common, _), *_ = Counter(turns.tolist()).most_common(1)
    return [names.index(_product(names[turn], names[common])) for turn in turns]


def _product(first: str, second: str) -> str:
    signs = tuple(a * b for a, b in zip(TURNS[first], TURNS[second], strict=True))
    return next(turn for turn, its_signs in TURNS.items() if its_signs == signs)
