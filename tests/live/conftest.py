"""The boards of the firmware tests."""

from tests.firmware.conftest import board, counts, model

__all__ = ["board", "counts", "model"]
