"""Put firmware with a model on a board and make sure that it runs there."""

from pathlib import Path

import numpy as np

from myowave.errors import LinkError
from myowave.firmware import Board
from myowave.imu import imu_by_name
from myowave.link import Device, Identity
from myowave.model_card import load_model_dir
from myowave.virtual import VirtualBoard

# An emulated board's IMU lies still while it is only asked who it is.
_AT_REST = np.zeros((1000, 6), dtype=np.int16)


def flash_emulated(board: Board, model: Path) -> Identity:
    """Build firmware for an emulated board, boot it, and wait for its identity frame.

    Parameters
    ----------
    board : Board
        One that runs on this computer.
    model : Path
        Model directory.

    Returns
    -------
    Identity
        As the board said it, with the model's SHA-256.

    Raises
    ------
    ModelError, ToolError
        If the model is not usable, or building or booting fails.
    LinkError
        If the board does not answer, or answers with another model.
    """
    card, _ = load_model_dir(model)
    with (
        VirtualBoard(_AT_REST, imu_by_name(card.imu), model, board.name) as virtual,
        Device.open(virtual.port) as device,
    ):
        identity = device.require_model(card.tflite_sha256)
    if identity.muscles != card.muscles:
        raise LinkError(
            f"{board.name}: the board predicts {', '.join(identity.muscles)}, expected "
            f"{', '.join(card.muscles)}: names too long for one identity frame"
        )
    return identity
