"""Self-test at boot: it passes on every core, and what is damaged does not go unnoticed."""

import re
import subprocess
from typing import Any

import cffi
import numpy as np
import pytest

from myowave.compiler import compile_tflite, load_plan
from myowave.compiler.reference import reference_network
from myowave.compiler.selftest import pseudo_random_input, run_plan, self_test
from myowave.engine import NativeEngine
from myowave.link import Device
from myowave.model_card import load_model_dir
from myowave.paths import REPOSITORY, firmware_dir

INTERFACE = """
int shim_init(void);
_Bool shim_model(void);
_Bool shim_engine(void);
"""
SHIM = """\
#include "selftest.h"

static mw_pipeline pipeline;

int shim_init(void) { return (int)mw_pipeline_init(&pipeline); }
bool shim_model(void) { return mw_self_test_model(); }
bool shim_engine(void) { return mw_self_test_engine(&pipeline); }
"""


@pytest.mark.parametrize("network", ["R", "S", "M"])
@pytest.mark.parametrize("optimize", [True, False])
def test_the_expected_outputs_are_the_engines(network, optimize):
    """Two ways to the same integers: numpy on the plan, C on the tables."""
    tflite = reference_network(network)
    plan = load_plan(tflite, optimize=optimize)
    x = pseudo_random_input(700, plan.n_inputs)
    assert np.array_equal(run_plan(plan, x), NativeEngine(tflite).run(x))


def test_the_self_test_is_affordable_at_boot():
    for network in ("R", "S", "M"):
        plan = load_plan(reference_network(network))
        test = self_test(plan)
        assert test.samples * plan.macs <= 3_000_000
        assert test.samples >= 16


@pytest.mark.parametrize(
    "name", ["native", "cortex_m0plus", "cortex_m3", "cortex_m4", "cortex_m55"]
)
def test_it_passes_on_every_core(board, name):
    with board(name) as virtual, Device.open(virtual.port) as device:
        identity = device.identify()
    assert identity.self_test == {"model": True, "engine": True, "imu": True}
    assert identity.failed_tests == ()
    assert identity.reset_cause == "power_on"
    assert identity.imu_rate_hz == 1000.0


def build(folder, source: str, header: str):
    (folder / "model_data.c").write_text(source)
    (folder / "model_data.h").write_text(header)
    (folder / "shim.c").write_text(SHIM)
    firmware = firmware_dir()
    app = [
        firmware / "app" / name for name in ("selftest.c", "pipeline.c", "inference.c", "wire.c")
    ]
    subprocess.run(
        [
            *("cc", "-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared"),
            *(f"-I{firmware / part}" for part in ("app", "engine")),
            *(f"-I{folder}", "-o", folder / "selftest.so", folder / "shim.c", *app),
            *(firmware / "engine" / "mw_engine.c", folder / "model_data.c"),
        ],
        check=True,
    )
    ffi = cffi.FFI()
    ffi.cdef(INTERFACE)
    library: Any = ffi.dlopen(str(folder / "selftest.so"))
    assert library.shim_init() == 0
    return library.shim_model(), library.shim_engine()


@pytest.mark.parametrize(
    ("before", "passes"),
    [
        ("", (True, True)),
        # A bit of a weight in the layout compiled here, of a bias, of a lookup table.
        (r"#else\nstatic[^{]*mw_weight weights_0[^{]*\{\s*", (False, None)),
        (r"mw_rows rows_\w+\[\d+\] = \{\s*\{\{(?:MW_FOLDED\()?", (False, None)),
        (r"int8_t tables\[\d+\]\[256\] = \{\s*\{\s*", (False, None)),
        # What a delay line holds at first, which no checksum covers.
        (r"mw_taps taps_rows\[\d+\] = \{\s*\{\d+U, \d+U, \d+U, \d+U, ", (True, False)),
    ],
)
def test_damage_is_noticed(model, tmp_path, before, passes):
    source = (model / "model_data.c").read_text()
    if before:
        source, n = re.subn(
            f"({before})(-?\\d+)", lambda m: f"{m[1]}{int(m[2]) ^ 1}", source, count=1
        )
        assert n == 1
    results = build(tmp_path, source, (model / "model_data.h").read_text())
    for found, expected in zip(results, passes, strict=True):
        assert expected is None or found == expected


def test_the_model_in_the_repository_is_not_stale(tmp_path):
    folder = REPOSITORY / "models" / "sim_biceps"
    card, tflite = load_model_dir(folder)
    compile_tflite(tflite, tmp_path, card.to_json())
    for name in ("model_data.c", "model_data.h", "plan.json"):
        assert (folder / name).read_text() == (tmp_path / name).read_text(), (
            f"{name} is stale: myowave compile {folder / 'model.tflite'} -o {folder}"
        )
