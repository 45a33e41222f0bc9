"""A model directory built once, and boards that play a movement."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from myowave.virtual import VirtualBoard
from tests.firmware.models import IMU, movement, write_model

MakeBoard = Callable[..., VirtualBoard]


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Path:
    """Model directory of the reference network R (receptive field 512)."""
    return write_model(tmp_path_factory.mktemp("model") / "reference")


@pytest.fixture(scope="session")
def counts() -> np.ndarray:
    """Three seconds of movement."""
    return movement(3000)


@pytest.fixture
def board(model, counts) -> MakeBoard:
    """Make a board; `native` with a virtual clock unless told otherwise."""

    def make(name: str = "native", **options: Any) -> VirtualBoard:
        if name == "native":
            options.setdefault("virtual_clock", True)
        return VirtualBoard(options.pop("counts", counts), IMU, model, name, **options)

    return make
