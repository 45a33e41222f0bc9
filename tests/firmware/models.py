"""Model directories for the firmware tests: reference networks with fixed random weights."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from myowave.compiler import compile_tflite, load_plan
from myowave.compiler.reference import reference_network
from myowave.engine import NativeEngine
from myowave.imu import IMUS, Imu
from myowave.model_card import ModelCard, load_model_dir, write_card
from myowave.scaling import input_scaling

IMU = IMUS["icm-42688-p"]
# What the float network sees as 1.0: a lively movement, so that inputs use much of the int8 range.
CHANNEL_SCALE = (20.0,) * 3 + (5.0,) * 3


def write_model(folder: Path, network: str = "R", imu: Imu = IMU) -> Path:
    """Write a model directory for a reference network and return it."""
    return write_network(folder, reference_network(network), f"reference {network}", imu)


def write_network(folder: Path, tflite: bytes, name: str, imu: Imu = IMU) -> Path:
    """Write a model directory for a network of six inputs and return it."""
    plan = load_plan(tflite)
    scaling = input_scaling(
        imu, np.array(CHANNEL_SCALE), plan.input_scale.scale, plan.input_scale.zero_point
    )
    output = plan.output_scales[0]
    card = ModelCard(
        name=name,
        note="random weights",
        channel_scale=CHANNEL_SCALE,
        imu=imu.name,
        input_scale=plan.input_scale.scale,
        input_zero_point=plan.input_scale.zero_point,
        output_scale=output.scale,
        output_zero_point=output.zero_point,
        input_multipliers=scaling.multipliers,
        input_shift=scaling.shift,
        muscles=tuple(f"muscle {i}" for i in range(plan.n_outputs)),
        normalization={},
        target={},
        receptive_field=plan.receptive_field,
        architecture={},
        training={"simulated": True},
        metrics={},
        baselines={},
        tflite_sha256=plan.sha256,
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.tflite").write_bytes(tflite)
    write_card(folder, card)
    compile_tflite(tflite, folder, card.to_json())
    return folder


def movement(samples: int, seed: int = 0) -> NDArray[np.int16]:
    """Return (samples, 6) raw counts of a random, smooth movement that reaches full scale."""
    rng = np.random.default_rng(seed)
    steps = rng.normal(0.0, 300.0, (samples, 6))
    walk = np.cumsum(steps, axis=0)
    counts: NDArray[np.int16] = np.clip(walk, -32768, 32767).astype(np.int16)
    return counts


_EXPECTED: dict[tuple[Path, bytes], NDArray[np.int8]] = {}


def expected(model: Path, counts: NDArray[np.int16]) -> NDArray[np.int8]:
    """Return what the native engine predicts on `counts` from a fresh start."""
    key = (model, counts.tobytes())
    if key not in _EXPECTED:
        _EXPECTED[key] = _run_native(model, counts)
    return _EXPECTED[key]


def _run_native(model: Path, counts: NDArray[np.int16]) -> NDArray[np.int8]:
    card, tflite = load_model_dir(model)
    return NativeEngine(tflite).run(card.input_scaling().apply(counts))
