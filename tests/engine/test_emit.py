"""The emitted C: what a device says about its network, from the model card."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import cffi
import numpy as np
import pytest

from myowave.compiler import compile_tflite, load_plan
from myowave.compiler.reference import reference_network
from myowave.errors import ModelError
from myowave.paths import firmware_dir

NAMES = ["biceps", 'tri"ceps\\n??/', "Mußkel"]


def card(tflite: bytes, **changes: Any) -> dict[str, Any]:
    plan = load_plan(tflite)
    return {
        "name": 'demo "one"\n',
        "imu": "icm-42688-p",
        "muscles": NAMES[: plan.n_outputs],
        "rate_hz": 1000,
        "input_multipliers": [100, -200, 300, 32767, -32767, 1],
        "input_shift": 14,
        "input_zero_point": plan.input_scale.zero_point,
        "tflite_sha256": plan.sha256,
    } | changes


def test_card_reaches_the_device(tmp_path: Path) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler 'cc' on PATH")
    tflite = reference_network("M")
    plan = compile_tflite(tflite, tmp_path, card(tflite))
    library = tmp_path / "model.so"
    flags = ["-std=c11", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-pedantic", "-fPIC"]
    include = f"-I{firmware_dir() / 'engine'}"
    source = str(tmp_path / "model_data.c")
    subprocess.run([compiler, *flags, "-shared", include, source, "-o", str(library)], check=True)
    ffi = cffi.FFI()
    ffi.cdef(
        """
        typedef struct {
            uint8_t sha256[32];
            const char *name;
            const char *imu;
            const char *const *muscles;
            struct {
                const int16_t *multipliers;
                uint16_t channels;
                uint8_t shift;
                int8_t zero_point;
            } input;
            float output_scale;
            int16_t output_zero_point;
            uint16_t n_muscles;
            uint16_t rate_hz;
            uint32_t receptive_field;
        } mw_info;
        extern mw_info mw_model_info;
        """
    )
    lib: Any = ffi.dlopen(str(library))
    info = lib.mw_model_info
    assert bytes(info.sha256).hex() == plan.sha256
    assert ffi.string(info.name) == b'demo "one"\n'
    assert ffi.string(info.imu) == b"icm-42688-p"
    assert [ffi.string(info.muscles[i]) for i in range(info.n_muscles)] == [
        name.encode() for name in NAMES[:2]
    ]
    assert list(info.input.multipliers[0:6]) == [100, -200, 300, 32767, -32767, 1]
    assert (info.input.channels, info.input.shift) == (6, 14)
    assert info.input.zero_point == plan.input_scale.zero_point
    # float32 survives the way through decimal text.
    assert np.float32(info.output_scale) == np.float32(plan.output_scales[0].scale)
    assert info.output_zero_point == plan.output_scales[0].zero_point
    assert (info.rate_hz, info.receptive_field) == (1000, plan.receptive_field)
    assert "#define MW_MODEL_HAS_INFO 1" in (tmp_path / "model_data.h").read_text()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tflite_sha256": "0" * 64}, "card is for network 0000000000000000"),
        ({"muscles": ["one"]}, "names 1 muscles, the network has 2"),
        ({"input_multipliers": [1, 2]}, "has 2 input multipliers"),
        ({"input_shift": 31}, "shift 1-30"),
        ({"input_zero_point": 99}, "input zero point 99"),
    ],
)
def test_card_of_another_model(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    tflite = reference_network("M")
    with pytest.raises(ModelError, match=message):
        compile_tflite(tflite, tmp_path / "out", card(tflite, **changes))
    assert not (tmp_path / "out").exists()


def test_card_without_a_field(tmp_path: Path) -> None:
    tflite = reference_network("S")
    incomplete = card(tflite)
    del incomplete["imu"]
    with pytest.raises(ModelError, match="lacks 'imu'"):
        compile_tflite(tflite, tmp_path, incomplete)
