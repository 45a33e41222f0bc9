"""Put firmware with a model on a board and make sure that it runs there."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from myowave.boards import board_specs
from myowave.errors import LinkError, ToolError
from myowave.firmware import Board
from myowave.fit import fit_model
from myowave.imu import imu_by_name
from myowave.link import Device, Identity
from myowave.model_card import load_model_dir
from myowave.virtual import VirtualBoard

# An emulated board's IMU lies still while it is only asked who it is.
_AT_REST = np.zeros((1000, 6), dtype=np.int16)


@dataclass(frozen=True)
class FlashVerdict:
    """Whether a model may go on a board.

    Attributes
    ----------
    refuses : bool
        The model was judged and does not fit.
    reason : str
        Why, or why it was not judged; "" when it fits.
    """

    refuses: bool
    reason: str


def verdict_for(board: str, model: Path) -> FlashVerdict:
    """Judge a model for the board of that name before it is flashed.

    A board that is not in the table of `myowave fit`, or a tool that is missing for judging, is no
    reason against flashing.

    Raises
    ------
    ModelError, UnsupportedModelError
        If the model directory is not usable, or the engine cannot stream the network.
    """
    spec = board_specs().get(board)
    if spec is None:
        return FlashVerdict(refuses=False, reason="")
    try:
        verdict = fit_model(model, [spec]).verdicts[0]
    except ToolError as error:
        return FlashVerdict(refuses=False, reason=f"fit not judged: {error}")
    return FlashVerdict(refuses=verdict.fits is False, reason="; ".join(verdict.reasons))


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
