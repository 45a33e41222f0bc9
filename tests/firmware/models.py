"""Models, movements and expected predictions for the firmware tests."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from myowave.engine import NativeEngine
from myowave.model_card import load_model_dir
from myowave.reference_model import CHANNEL_SCALE, IMU, write_model, write_network

__all__ = ["CHANNEL_SCALE", "IMU", "expected", "movement", "write_model", "write_network"]


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
