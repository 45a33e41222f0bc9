"""firmware/engine/example: the engine alone, as an engineer with another sensor takes it."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from myowave.compiler import load_plan
from myowave.compiler.plan import Taps
from myowave.export import operators
from myowave.paths import firmware_dir
from myowave.tflm import run_tflm

EXAMPLE = firmware_dir() / "engine" / "example"
ENGINE_README = firmware_dir() / "engine" / "README.md"
STRICT = ("-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wpedantic", "-Werror")

needs_compiler = pytest.mark.skipif(
    shutil.which("cc") is None or shutil.which("make") is None, reason="needs cc and make on PATH"
)


@pytest.fixture(scope="module")
def tflite() -> bytes:
    return (EXAMPLE / "model.tflite").read_bytes()


@pytest.fixture(scope="module")
def monitor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("example")
    make("all", folder)
    return folder / "monitor"


def make(target: str, folder: Path) -> str:
    command = ["make", "-s", "-C", str(EXAMPLE), target, f"BUILD={folder}"]
    # The Makefile's own flags, not those of whoever runs the tests.
    environment = {key: value for key, value in os.environ.items() if key != "CFLAGS"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout


def levels(monitor: Path, counts: NDArray[np.int16], *words: str) -> NDArray[np.int64]:
    """Return sample number, hum and knock, (valid samples, 3), as the program prints them."""
    text = "".join(f"{count}\n" for count in counts)
    done = subprocess.run([monitor, *words], input=text, capture_output=True, text=True, check=True)
    rows = [line.split() for line in done.stdout.splitlines()]
    return np.array(rows, np.int64).reshape(-1, 3)


def kept_samples() -> NDArray[np.int16]:
    return np.loadtxt(EXAMPLE / "samples.txt", np.int16)


@needs_compiler
@pytest.mark.parametrize("words", [(), ("fifo",)], ids=["single samples", "whole FIFOs"])
def test_prints_what_tflite_micro_computes(
    words: tuple[str, ...], monitor: Path, tflite: bytes
) -> None:
    rng = np.random.default_rng(0)
    # Recorded ones, then what saturates the input; not a multiple of the FIFO.
    extremes = rng.choice([-(2**15), -9, -8, 7, 8, 2**15 - 1], 301).astype(np.int16)
    counts = np.concatenate([kept_samples(), extremes])
    inputs = np.clip((counts.astype(np.int32) + 8) >> 4, -128, 127).astype(np.int8)
    expected = run_tflm(tflite, inputs[:, np.newaxis]).astype(np.int64) + 128
    printed = levels(monitor, counts, *words)
    first = load_plan(tflite).receptive_field - 1
    np.testing.assert_array_equal(printed[:, 0], np.arange(first, len(counts)))
    np.testing.assert_array_equal(printed[:, 1:], expected[first:])


@needs_compiler
def test_hears_the_knocks_of_the_kept_samples(monitor: Path) -> None:
    """The kept network does what it is for: knocks rise fast and far above what lies between."""
    printed = levels(monitor, kept_samples())
    knock = printed[:, 2]
    assert np.median(knock) < 10
    assert knock.max() > 100
    shown = re.findall(
        r"^    (\d+) (\d+) (\d+)$", (EXAMPLE / "README.md").read_text(), re.MULTILINE
    )
    assert shown
    assert {tuple(map(int, line)) for line in shown} <= {tuple(row) for row in printed.tolist()}


@needs_compiler
def test_a_line_that_is_no_count_is_named(monitor: Path) -> None:
    for bad in ("x", "40000", "", "1 2", "9" * 40):
        done = subprocess.run(
            [monitor], input=f"1\n{bad}\n", capture_output=True, text=True, check=False
        )
        assert done.returncode == 1
        assert done.stderr == "monitor: line 2 is no count, expected -32768 to 32767\n"


@pytest.mark.skipif(shutil.which("arm-none-eabi-gcc") is None, reason="needs arm-none-eabi-gcc")
def test_compiles_for_cortex_m4(tmp_path: Path) -> None:
    listing = make("cortex-m4", tmp_path)
    objects = re.findall(r"^\s*(\d+)\s+(\d+)\s+(\d+).*/(\w+\.o)$", listing, re.MULTILINE)
    sizes = {name: tuple(map(int, row)) for *row, name in objects}
    assert set(sizes) == {"mw_engine.o", "model_data.o", "monitor.o"}
    # Text, data, bss: engine and tables lie in flash, all memory is the monitor's own.
    assert sizes["mw_engine.o"][1:] == sizes["model_data.o"][1:] == (0, 0)


@pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler 'c++' on PATH")
@needs_compiler
def test_header_serves_cpp(tmp_path: Path, tflite: bytes) -> None:
    """A C++ file includes the header and the tables and links with the C objects."""
    (tmp_path / "main.cpp").write_text(
        """
        #include "model_data.h"
        #include <cstdio>
        static uint32_t state[MW_MODEL_STATE_BYTES / sizeof(uint32_t)];
        int main() {
            mw_engine engine;
            if (mw_engine_init(&engine, &mw_model_data, state, sizeof state) != MW_OK) { return 1; }
            const int8_t in[MW_MODEL_INPUTS] = {5};
            int8_t out[MW_MODEL_OUTPUTS];
            for (int i = 0; i < MW_MODEL_RECEPTIVE_FIELD; ++i) { mw_engine_step(&engine, in, out); }
            std::printf("%d %d %u", out[0], out[1], unsigned(MW_MODEL_STATE_BYTES));
        }
        """
    )
    include = [f"-I{EXAMPLE.parent}", f"-I{EXAMPLE}"]
    objects = []
    for source in (EXAMPLE.parent / "mw_engine.c", EXAMPLE / "model_data.c"):
        objects.append(str(tmp_path / f"{source.stem}.o"))
        compile_c = ["cc", "-std=c11", *STRICT, *include, "-c", str(source), "-o", objects[-1]]
        subprocess.run(compile_c, check=True)
    program = tmp_path / "program"
    main = ["c++", "-std=c++11", *STRICT, *include, str(tmp_path / "main.cpp"), *objects]
    subprocess.run([*main, "-o", str(program)], check=True)
    printed = subprocess.run([program], capture_output=True, text=True, check=True).stdout
    plan = load_plan(tflite)
    outputs = run_tflm(tflite, np.full((plan.receptive_field, 1), 5, np.int8))[-1]
    assert printed == f"{outputs[0]} {outputs[1]} {plan.state_bytes}"


def test_memory_formula_of_the_readme(tflite: bytes) -> None:
    """The formula a reader is given, with the numbers `plan.json` gives."""
    plan = json.loads((EXAMPLE / "plan.json").read_text())
    lines = [step for step in load_plan(tflite).steps if isinstance(step, Taps)]
    formula = re.search(r"^    state  =  (.*)$", ENGINE_README.read_text(), re.MULTILINE)
    assert formula is not None
    past = "sum over lines of (taps - 1) * dilation * channels"
    assert past in formula[1]
    total = sum((line.taps - 1) * line.dilation * line.src.width for line in lines)
    values = {"lines": len(lines), "scratch": plan["scratch_bytes"] // 2, "past": total}
    values |= {"value": 2, "block": 1}
    state = eval(formula[1].replace(past, "past"), {}, values)
    assert plan["line_bytes"] == total
    assert plan["state_bytes"] == -(-state // 4) * 4


@pytest.mark.slow
def test_network_can_be_made_again(tflite: bytes, tmp_path: Path) -> None:
    """Two steps of training: another network, of the same shape and the same fixed scales."""
    script = [sys.executable, str(EXAMPLE / "network.py"), "--steps", "2", "--out", str(tmp_path)]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run(script, env=environment, capture_output=True, check=True)
    made = (tmp_path / "model.tflite").read_bytes()
    assert made != tflite
    assert operators(made) == operators(tflite)
    for plan in (load_plan(made), load_plan(tflite)):
        # What monitor.c counts on.
        assert (plan.n_inputs, plan.n_outputs) == (1, 2)
        assert (plan.input_scale.scale, plan.input_scale.zero_point) == (1 / 128, 0)
        assert {(scale.scale, scale.zero_point) for scale in plan.output_scales} == {
            (1 / 256, -128)
        }
        assert plan.receptive_field == plan.window == 127
    samples = np.loadtxt(tmp_path / "samples.txt", np.int16)
    # Sine and exponential may differ in the last digit from processor to processor.
    np.testing.assert_allclose(samples, kept_samples(), atol=1)
