"""`mw_scale_input` and `InputScaling.apply` are one function."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import cffi
import numpy as np
import pytest

from myowave.imu import IMUS
from myowave.paths import firmware_dir
from myowave.scaling import MULTIPLIER_MAX, InputScaling, input_scaling

EVERY_COUNT = np.arange(-(2**15), 2**15, dtype=np.int16)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler 'cc' on PATH")
    target: Path = tmp_path_factory.mktemp("scaling") / "engine.so"
    source = firmware_dir() / "engine" / "mw_engine.c"
    subprocess.run(
        [compiler, "-std=c11", "-O2", "-fPIC", "-shared", str(source), "-o", str(target)],
        check=True,
    )
    ffi = cffi.FFI()
    ffi.cdef(
        """
        typedef struct {
            const int16_t *multipliers;
            uint16_t channels;
            uint8_t shift;
            int8_t zero_point;
        } mw_input_scaling;
        void mw_scale_input(const mw_input_scaling *, const int16_t *, int8_t *);
        """
    )
    return ffi, ffi.dlopen(str(target))


def scale_in_c(library: tuple[Any, Any], scaling: InputScaling, counts: np.ndarray) -> np.ndarray:
    ffi, lib = library
    multipliers = ffi.new("int16_t[]", list(scaling.multipliers))
    channels = len(scaling.multipliers)
    struct = ffi.new(
        "mw_input_scaling *", [multipliers, channels, scaling.shift, scaling.zero_point]
    )
    out = np.empty(counts.shape, np.int8)
    for row, result in zip(counts, out, strict=True):
        lib.mw_scale_input(
            struct, ffi.cast("int16_t *", row.ctypes.data), ffi.cast("int8_t *", result.ctypes.data)
        )
    return out


@pytest.mark.parametrize("shift", [1, 2, 14, 15, 29, 30])
@pytest.mark.parametrize("zero_point", [-128, 0, 127])
def test_every_count_at_every_extreme(
    library: tuple[Any, Any], shift: int, zero_point: int
) -> None:
    multipliers = (-MULTIPLIER_MAX, MULTIPLIER_MAX, -1, 1, 181, 23170)
    scaling = InputScaling(multipliers, shift, zero_point)
    # One call takes as many channels as it is given: every count once for each multiplier.
    counts = np.repeat(EVERY_COUNT[:, np.newaxis], len(multipliers), axis=1)
    wide = InputScaling(tuple(np.repeat(multipliers, 8192)), shift, zero_point)
    transposed = np.ascontiguousarray(counts.T)
    found = np.hstack(
        [
            scale_in_c(library, wide, transposed[:, i : i + 8192].reshape(1, -1)).reshape(6, 8192)
            for i in range(0, 65536, 8192)
        ]
    ).T
    np.testing.assert_array_equal(found, scaling.apply(counts))


@pytest.mark.parametrize("imu", IMUS.values(), ids=lambda imu: imu.name)
def test_real_scalings(library: tuple[Any, Any], imu: Any) -> None:
    scaling = input_scaling(imu, np.array([10.0, 10, -10, 3, 3, 3]), 4 / 127, -3)
    counts = np.random.default_rng(0).integers(-(2**15), 2**15, (2000, 6)).astype(np.int16)
    np.testing.assert_array_equal(scale_in_c(library, scaling, counts), scaling.apply(counts))
