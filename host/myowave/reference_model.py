"""Model directories for networks that were not trained: what firmware needs, for measuring it."""

from pathlib import Path

import numpy as np

from myowave.compiler import compile_tflite, load_plan
from myowave.compiler.reference import reference_network
from myowave.imu import IMUS, Imu
from myowave.model_card import ModelCard, write_card
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
