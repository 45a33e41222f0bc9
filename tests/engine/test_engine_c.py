"""The engine's C sources: contracts, sanitizers, what they link against, warnings."""

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from myowave.compiler.derive import load_plan
from myowave.compiler.emit import emit
from myowave.compiler.plan import Add, Plan
from myowave.compiler.reference import NetworkBuilder, reference_network
from myowave.engine import NativeEngine
from myowave.paths import firmware_dir
from tests.engine.networks import random_input, random_network

SOURCES = Path(__file__).parent / "c"
ENGINE = firmware_dir() / "engine"
WARNINGS = ["-std=c11", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror", "-pedantic"]
SANITIZE = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
CC = shutil.which("cc")
CROSS = shutil.which("arm-none-eabi-gcc")
needs_cc = pytest.mark.skipif(CC is None, reason="no C compiler 'cc' on PATH")
needs_cross = pytest.mark.skipif(CROSS is None, reason="no arm-none-eabi-gcc on PATH")


def build(folder: Path, plan: Plan, program: str, *flags: str) -> Path:
    assert CC is not None
    header, source = emit(plan)
    (folder / "model_data.h").write_text(header)
    (folder / "model_data.c").write_text(source)
    files = [SOURCES / program, ENGINE / "mw_engine.c", folder / "model_data.c"]
    target = folder / "program"
    command = [CC, *WARNINGS, *SANITIZE, *flags, f"-I{ENGINE}", f"-I{folder}", *map(str, files)]
    done = subprocess.run(
        [*command, "-o", str(target)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return target


def network_with_every_step() -> bytes:
    net = NetworkBuilder(5, 6, 0.04, 5)
    weights = np.arange(-48, 48, dtype=np.int8).reshape(8, 2, 6)
    scales = np.full(8, 0.002, np.float32)
    y = net.conv(
        net.input, weights, None, filter_scales=scales, scale=0.04, zero_point=-7, dilation=4
    )
    left, right = net.split(y, 2)
    product = net.binary("MUL", net.tanh(left), net.logistic(right), scale=1 / 128, zero_point=1)
    total = net.binary("ADD", product, left, scale=0.0437, zero_point=0)
    total = net.binary("ADD", total, right, scale=0.05, zero_point=0)
    return net.build([net.concatenation([total, net.unary("RELU", total, 0.05, 0)])])


def plan_with_every_step() -> Plan:
    """Return a plan with a sum in each of its two forms."""
    tflite = network_with_every_step()
    plain, optimized = load_plan(tflite, optimize=False), load_plan(tflite)
    assert any(isinstance(step, Add) and step.linear is None for step in plain.steps)
    assert any(isinstance(step, Add) and step.linear is not None for step in optimized.steps)
    last = max(i for i, step in enumerate(optimized.steps) if isinstance(step, Add))
    steps = list(optimized.steps)
    steps[last] = replace(steps[last], linear=None)  # type: ignore[call-arg]
    return replace(optimized, steps=tuple(steps))


@needs_cc
def test_contract_of_init(tmp_path: Path) -> None:
    program = build(tmp_path, plan_with_every_step(), "contract.c")
    done = subprocess.run([str(program)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_cc
@pytest.mark.parametrize("kernels", ["portable", "native"])
@pytest.mark.parametrize("seed", range(3))
def test_no_undefined_behaviour_on_random_networks(seed: int, kernels: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(1000 + seed)
    tflite = random_network(rng) if seed else reference_network("S")
    x = np.vstack([random_input(rng, 200, load_plan(tflite).n_inputs) for _ in range(4)])
    flags = ["-DMW_KERNELS_PORTABLE"] if kernels == "portable" else []
    program = build(tmp_path, load_plan(tflite), "stream.c", *flags)
    done = subprocess.run([str(program)], input=x.tobytes(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    engine = NativeEngine(tflite)
    found = np.frombuffer(done.stdout, np.int8).reshape(-1, engine.n_outputs)
    np.testing.assert_array_equal(found, engine.run(x))


@needs_cross
@pytest.mark.parametrize("core", ["cortex-m0plus", "cortex-m3", "cortex-m4", "cortex-m55"])
def test_needs_nothing_but_memory_copies(core: str, tmp_path: Path) -> None:
    """No heap, no floating point helpers, no mutable data: the object says so."""
    assert CROSS is not None
    target = tmp_path / "mw_engine.o"
    command = [CROSS, *WARNINGS, f"-mcpu={core}", "-mthumb", "-O2", "-fstack-usage", "-c"]
    subprocess.run([*command, str(ENGINE / "mw_engine.c"), "-o", str(target)], check=True)
    nm = subprocess.run(
        ["arm-none-eabi-nm", str(target)], capture_output=True, text=True, check=True
    ).stdout
    undefined = set(re.findall(r" U (\S+)", nm))
    # ARMv6-M has no 64-bit product; its compiler calls an integer helper.
    allowed = {"memcpy", "memset", "memmove", "__aeabi_lmul", "__aeabi_memcpy", "__aeabi_memset"}
    assert undefined <= allowed
    assert not re.findall(r" [bBdD] ", nm)
    frames = [
        int(line.split("\t")[1]) for line in (tmp_path / "mw_engine.su").read_text().splitlines()
    ]
    # All frames at once, which no chain of calls has.
    assert sum(frames) < 1024
    assert "dynamic" not in (tmp_path / "mw_engine.su").read_text()
