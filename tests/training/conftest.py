"""A tiny network and short made-up recordings, enough to see whether training learns."""

from collections.abc import Callable

import numpy as np
import pytest

from myowave.recording import RATE_HZ, Recording
from myowave.train_config import TrainConfig, config_from_dict

MakeRecording = Callable[..., Recording]


@pytest.fixture(scope="session")
def make_recording() -> MakeRecording:
    """Recordings in which the sEMG follows the forearm's angle, 50 ms early."""

    def make(
        name: str,
        subject: str = "S1",
        day: str = "2025-01-01",
        *,
        seconds: float = 8.0,
        muscles: tuple[str, ...] = ("biceps",),
        size: float = 1.0,
        **provenance: object,
    ) -> Recording:
        rng = np.random.default_rng(sum(name.encode()))
        n = round(seconds * RATE_HZ)
        time_s = np.arange(n) / RATE_HZ
        rate_hz = rng.uniform(0.4, 0.6)
        phase = rng.uniform(0.0, 2 * np.pi)

        def angle(at_s: np.ndarray) -> np.ndarray:
            return 0.8 * (1.0 - np.cos(2 * np.pi * rate_hz * at_s + phase))

        bent = angle(time_s)
        gyro = np.zeros((n, 3))
        gyro[:, 1] = np.gradient(bent) * RATE_HZ
        acc = 9.81 * np.column_stack([np.cos(bent), 0.1 * np.ones(n), np.sin(bent)])
        drive = size * (0.02 + angle(time_s + 0.05) ** 2)
        emg = drive[:, None] * rng.standard_normal((n, len(muscles)))
        return Recording(
            acc=acc + 0.05 * rng.standard_normal((n, 3)),
            gyro=gyro + 0.02 * rng.standard_normal((n, 3)),
            emg=emg,
            muscles=muscles,
            subject=subject,
            day=day,
            name=name,
            provenance=dict(provenance),
        )

    return make


@pytest.fixture(scope="session")
def tiny_config() -> TrainConfig:
    """A recipe that trains in seconds."""
    return config_from_dict(
        {
            "name": "tiny",
            "threads": 1,
            "network": {
                "channels": 4,
                "skip_channels": 4,
                "head_channels": 4,
                "front_kernel": 8,
                "dilations": [8, 16, 32],
                "dropout": 0.1,
            },
            "split": {"test_share": 0.25, "validation_share": 0.3},
            "fit": {
                "steps": 40,
                "batch": 4,
                "chunk_ms": 512,
                "learning_rate": 0.02,
                "averaging": 0.9,
                "evaluate_every": 10,
                "refit": False,
            },
            "export": {"representative_windows": 30, "verification_windows": 6},
        }
    )
