"""The streaming engine equals tflite-micro to the bit, for networks and inputs drawn at random."""

import os

import numpy as np
import pytest

from myowave.compiler import load_plan
from myowave.compiler.reference import reference_network
from myowave.engine import NativeEngine
from myowave.tflm import run_tflm
from tests.engine.networks import awkward_network, random_input, random_network

# A longer hunt: MYOWAVE_NETWORKS=5000 pytest tests/engine/test_parity.py
NETWORKS = int(os.environ.get("MYOWAVE_NETWORKS", "60"))


def assert_parity(tflite: bytes, x: np.ndarray, *, optimize: bool = True) -> None:
    engine = NativeEngine(tflite, optimize=optimize)
    expected = run_tflm(tflite, x)
    found = engine.run(x)
    first = engine.receptive_field - 1
    assert len(x) > first
    wrong = np.argwhere(expected[first:] != found[first:])
    assert len(wrong) == 0, f"{len(wrong)} mismatches, first at sample {first + wrong[0][0]}"


@pytest.mark.parametrize("seed", range(NETWORKS))
def test_random_network(seed: int) -> None:
    rng = np.random.default_rng(seed)
    tflite = random_network(rng)
    plan = load_plan(tflite)
    x = np.vstack([random_input(rng, 150, plan.n_inputs) for _ in range(4)])
    assert_parity(tflite, x)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("optimize", [True, False])
def test_awkward_network(seed: int, optimize: bool) -> None:
    rng = np.random.default_rng(seed)
    x = np.vstack([random_input(rng, 150, 3) for _ in range(4)])
    assert_parity(awkward_network(seed), x, optimize=optimize)


@pytest.mark.parametrize("name", ["R", "S", "M"])
def test_reference_network(name: str) -> None:
    rng = np.random.default_rng(7)
    x = np.vstack([random_input(rng, 700, 6) for _ in range(4)])
    assert_parity(reference_network(name), x)


def test_random_networks_differ_in_every_way_promised() -> None:
    plans = [load_plan(random_network(np.random.default_rng(seed))) for seed in range(60)]
    assert {plan.n_outputs for plan in plans} >= {1, 2, 3, 4}
    assert any(plan.window > plan.receptive_field for plan in plans)
    kinds = {type(step).__name__ for plan in plans for step in plan.steps}
    assert kinds == {"Taps", "Conv", "Add", "Mul", "Lookup", "Copy"}


@pytest.mark.parametrize("seed", range(0, 24, 2))
def test_plan_optimization_changes_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    tflite = random_network(rng)
    x = random_input(rng, 400, load_plan(tflite).n_inputs)
    plain = NativeEngine(tflite, optimize=False)
    assert len(plain.plan.steps) >= len(load_plan(tflite).steps)
    np.testing.assert_array_equal(plain.run(x), NativeEngine(tflite).run(x))


@pytest.mark.parametrize("seed", range(1, 24, 4))
def test_portable_kernels_give_the_same(seed: int) -> None:
    rng = np.random.default_rng(seed)
    tflite = random_network(rng)
    x = random_input(rng, 400, load_plan(tflite).n_inputs)
    own = NativeEngine(tflite).run(x)
    for optimize in (True, False):
        portable = NativeEngine(tflite, optimize=optimize, portable=True)
        np.testing.assert_array_equal(portable.run(x), own)


def test_samples_one_by_one_equal_many_at_once() -> None:
    rng = np.random.default_rng(3)
    tflite = reference_network("S")
    x = random_input(rng, 500, 6)
    many, one = NativeEngine(tflite), NativeEngine(tflite)
    np.testing.assert_array_equal(many.run(x), np.array([one.step(row) for row in x]))


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
