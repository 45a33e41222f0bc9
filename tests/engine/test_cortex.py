"""The engine on emulated Cortex-M cores: same integers, steady instruction counts."""

import shutil

import numpy as np
import pytest

from myowave.compiler import load_plan
from myowave.compiler.reference import reference_network
from myowave.cortex import CORES, count_instructions, measure, run_cortex
from myowave.engine import NativeEngine
from myowave.errors import ConfigError
from tests.engine.networks import awkward_network, random_input, random_network

pytestmark = pytest.mark.skipif(
    shutil.which("qemu-system-arm") is None or shutil.which("arm-none-eabi-gcc") is None,
    reason="needs qemu-system-arm and arm-none-eabi-gcc on PATH",
)


@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize("seed", range(500, 503))
def test_random_network(core: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    tflite = random_network(rng)
    x = np.vstack([random_input(rng, 150, load_plan(tflite).n_inputs) for _ in range(4)])
    np.testing.assert_array_equal(run_cortex(tflite, x, core), NativeEngine(tflite).run(x))


@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize("optimize", [True, False], ids=["short forms", "general forms"])
def test_awkward_network(core: str, optimize: bool) -> None:
    """The core's own kernels against the portable ones, bit for bit."""
    tflite = awkward_network(0)
    x = np.vstack([random_input(np.random.default_rng(seed), 150, 3) for seed in range(5)])
    expected = NativeEngine(tflite, portable=True, optimize=False).run(x)
    np.testing.assert_array_equal(run_cortex(tflite, x, core, optimize=optimize), expected)


@pytest.mark.parametrize("core", CORES)
def test_reference_network(core: str) -> None:
    # More samples than one chunk of the runner, and not a multiple of it.
    x = random_input(np.random.default_rng(0), 1300, 6)
    tflite = reference_network("R")
    np.testing.assert_array_equal(run_cortex(tflite, x, core), NativeEngine(tflite).run(x))


@pytest.mark.parametrize("core", ["cortex-m3", "cortex-m4"])
def test_constant_time(core: str) -> None:
    """The instructions a sample differ by less than 1 % over any input."""
    tflite = reference_network("S")
    rng = np.random.default_rng(1)
    noise = rng.integers(-(2**15), 2**15, (512, 6)).astype(np.int16)
    inputs = [
        noise,
        np.zeros_like(noise),
        np.full_like(noise, 2**15 - 1),
        np.where(noise > 0, 2**15 - 1, -(2**15)).astype(np.int16),
    ]
    counts = [count_instructions(tflite, core, counts) for counts in inputs]
    assert max(counts) < 1.01 * min(counts)


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
    with pytest.raises(ConfigError, match="unknown core 'cortex-a9', expected one of cortex-m3"):
        run_cortex(reference_network("S"), np.zeros((1, 6), np.int8), "cortex-a9")
