"""The engine on emulated Cortex-M cores: same integers, steady instruction counts."""

import shutil
from collections.abc import Callable

import numpy as np
import pytest

from myowave.compiler import load_plan
from myowave.compiler.reference import reference_network
from myowave.cortex import CORES, count_instructions, measure, run_cortex
from myowave.engine import NativeEngine
from myowave.errors import ConfigError
from myowave.tflm import run_tflm
from tests.engine.networks import (
    CI_CORE_SEEDS,
    CORE_SEEDS,
    awkward_network,
    drawn_input,
    drawn_network,
    expected_output,
    random_input,
    random_signal,
    tails_network,
)

needs_emulator = pytest.mark.skipif(
    shutil.which("qemu-system-arm") is None or shutil.which("arm-none-eabi-gcc") is None,
    reason="needs qemu-system-arm and arm-none-eabi-gcc on PATH",
)
pytestmark = needs_emulator


@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize("seed", CORE_SEEDS)
def test_random_network(core: str, seed: int) -> None:
    """Every tenth in blocks; the rest sample by sample."""
    tflite, x = drawn_network(seed), drawn_input(seed)
    found = run_cortex(tflite, x, core, block=7 if seed % 10 == 0 else 1)
    engine = NativeEngine(tflite)
    np.testing.assert_array_equal(found[engine.receptive_field - 1 :], expected_output(seed))
    # The oracle has no warm-up; the native engine has.
    np.testing.assert_array_equal(found, engine.run(x))


@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize("make", [awkward_network, tails_network])
@pytest.mark.parametrize(("seed", "optimize"), [(0, True), (1, True), (0, False)])
def test_network_made_by_hand(
    core: str, make: Callable[[int], bytes], seed: int, optimize: bool
) -> None:
    """The core's own kernels against tflite-micro, bit for bit."""
    tflite = make(seed)
    plan = load_plan(tflite)
    x = random_signal(np.random.default_rng(seed), 150, plan.n_inputs)
    first = plan.receptive_field - 1
    expected = run_tflm(tflite, x)[first:]
    for block in (1, 9):
        found = run_cortex(tflite, x, core, optimize=optimize, block=block)
        np.testing.assert_array_equal(found[first:], expected)


@pytest.mark.parametrize("core", CORES)
def test_reference_network(core: str) -> None:
    # More samples than one chunk of the runner, and not a multiple of it.
    x = random_input(np.random.default_rng(0), 1300, 6)
    tflite = reference_network("R")
    np.testing.assert_array_equal(run_cortex(tflite, x, core), NativeEngine(tflite).run(x))


@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize(
    ("make", "optimize"),
    [
        (lambda: reference_network("R"), True),
        (lambda: reference_network("R"), False),
        (lambda: awkward_network(0), True),
        (lambda: drawn_network(CI_CORE_SEEDS[0]), True),
    ],
    ids=["R", "R in general forms", "every shift", "a drawn network"],
)
def test_constant_time(core: str, make: Callable[[], bytes], optimize: bool) -> None:
    """The instructions a sample differ by less than 1 % over any input."""
    tflite = make()
    rng = np.random.default_rng(1)
    noise = rng.integers(-(2**15), 2**15, (192, load_plan(tflite).n_inputs)).astype(np.int16)
    inputs = {
        "random": noise,
        "zero": np.zeros_like(noise),
        "highest": np.full_like(noise, 2**15 - 1),
        "lowest": np.full_like(noise, -(2**15)),
        "either extreme": np.where(noise > 0, 2**15 - 1, -(2**15)).astype(np.int16),
        "drift": np.linspace(-(2**15), 2**15 - 1, noise.size).reshape(noise.shape).astype(np.int16),
    }
    instructions = {
        name: count_instructions(tflite, core, counts, optimize=optimize)
        for name, counts in inputs.items()
    }
    assert max(instructions.values()) < 1.01 * min(instructions.values()), instructions


def test_measurement_adds_up() -> None:
    tflite = reference_network("R")
    figures = measure(tflite, "cortex-m4", samples=256)
    plan = load_plan(tflite)
    assert figures.macs_per_sample == plan.macs == 14192
    assert figures.instructions_per_sample > figures.macs_per_sample
    assert figures.ram_bytes >= plan.state_bytes
    assert figures.model_bytes > plan.macs
    assert figures.flash_bytes == figures.code_bytes + figures.model_bytes
    # The design's goals: 12 KB of state, 8 KB of code, 48 KB of weights and tables.
    assert figures.ram_bytes <= 12 * 1024
    assert figures.code_bytes <= 8 * 1024
    assert figures.model_bytes <= 48 * 1024


def test_unknown_core() -> None:
    with pytest.raises(
        ConfigError, match="unknown core 'cortex-a9', expected one of cortex-m0plus"
    ):
        run_cortex(reference_network("S"), np.zeros((1, 6), np.int8), "cortex-a9")
