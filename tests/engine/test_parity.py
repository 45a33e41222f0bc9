"""The streaming engine equals tflite-micro to the bit, for networks and inputs drawn at random.

How many networks, and how to draw more: `networks.py`.
"""

from collections.abc import Callable

import numpy as np
import pytest

from myowave.compiler import load_plan
from myowave.compiler.reference import reference_network
from myowave.engine import NativeEngine
from myowave.tflm import run_tflm
from tests.engine.networks import (
    SEEDS,
    awkward_network,
    drawn_input,
    drawn_network,
    expected_output,
    random_input,
    random_signal,
    tails_network,
)

BLOCKS = (1, 2, 3, 7, 8, 9, 63, 64, 1000)


def assert_parity(tflite: bytes, x: np.ndarray, *, optimize: bool = True) -> None:
    engine = NativeEngine(tflite, optimize=optimize)
    first = engine.receptive_field - 1
    assert len(x) > first
    assert_same(engine.run(x)[first:], run_tflm(tflite, x)[first:])


def assert_same(found: np.ndarray, expected: np.ndarray) -> None:
    wrong = np.argwhere(expected != found)
    assert len(wrong) == 0, f"{len(wrong)} mismatches, first at {wrong[0]} after the warm-up"


def one_by_one(engine: NativeEngine, x: np.ndarray) -> np.ndarray:
    return np.array([engine.step(row) for row in x])


@pytest.mark.parametrize("seed", SEEDS)
def test_random_network(seed: int) -> None:
    """Sample by sample, then in blocks."""
    engine = NativeEngine(drawn_network(seed))
    x, first = drawn_input(seed), engine.receptive_field - 1
    single = one_by_one(engine, x)
    assert_same(single[first:], expected_output(seed))
    engine.reset()
    np.testing.assert_array_equal(engine.run(x), single)


@pytest.mark.parametrize("seed", SEEDS[::12])
def test_blocks_of_any_size(seed: int) -> None:
    engine = NativeEngine(drawn_network(seed))
    x = np.concatenate([drawn_input(seed)] * (1 + max(BLOCKS) // len(drawn_input(seed))))
    expected = one_by_one(engine, x)
    for size in BLOCKS:
        engine.reset()
        parts = [engine.run(x[start : start + size]) for start in range(0, len(x), size)]
        np.testing.assert_array_equal(np.concatenate(parts), expected, err_msg=f"blocks of {size}")
    # Blocks and single samples share one past.
    engine.reset()
    rng = np.random.default_rng(seed)
    cuts = np.sort(rng.integers(0, len(x) + 1, 20))
    parts = [
        one_by_one(engine, part).reshape(-1, engine.n_outputs) if i % 3 == 0 else engine.run(part)
        for i, part in enumerate(np.split(x, cuts))
    ]
    np.testing.assert_array_equal(np.concatenate(parts), expected, err_msg="blocks of any size")


@pytest.mark.parametrize("seed", SEEDS[5::12])
def test_general_forms_and_portable_kernels(seed: int) -> None:
    """What the short forms and this machine's kernels are compared with, against the oracle too."""
    x, expected = drawn_input(seed), expected_output(seed)
    for options in ({"optimize": False}, {"portable": True}, {"optimize": False, "portable": True}):
        engine = NativeEngine(drawn_network(seed), **options)
        assert_same(engine.run(x)[engine.receptive_field - 1 :], expected)


@pytest.mark.parametrize("make", [awkward_network, tails_network])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("optimize", [True, False])
def test_network_made_by_hand(make: Callable[[int], bytes], seed: int, optimize: bool) -> None:
    tflite = make(seed)
    x = random_signal(np.random.default_rng(seed), 500, load_plan(tflite).n_inputs)
    assert_parity(tflite, x, optimize=optimize)


@pytest.mark.parametrize("name", ["R", "S", "M"])
def test_reference_network(name: str) -> None:
    rng = np.random.default_rng(7)
    x = np.vstack([random_input(rng, 700, 6) for _ in range(4)])
    assert_parity(reference_network(name), x)


def test_samples_one_by_one_equal_many_at_once() -> None:
    rng = np.random.default_rng(3)
    tflite = reference_network("S")
    x = random_input(rng, 500, 6)
    many, one = NativeEngine(tflite), NativeEngine(tflite)
    np.testing.assert_array_equal(many.run(x), one_by_one(one, x))


def test_reset_forgets_and_engines_do_not_share() -> None:
    rng = np.random.default_rng(4)
    tflite = reference_network("S")
    x = random_input(rng, 400, 6)
    engine, other = NativeEngine(tflite), NativeEngine(tflite)
    first = engine.run(x)
    other.run(x[::-1].copy())
    assert not np.array_equal(engine.run(x), first)
    engine.reset()
    np.testing.assert_array_equal(engine.run(x), first)
