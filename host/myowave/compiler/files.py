"""The `.tflite` behind what a user names: a file, or a model directory with its card."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from myowave.compiler.graph import FILE_BYTES_MAX
from myowave.errors import ModelError


def read_model(path: Path) -> tuple[bytes, Mapping[str, Any] | None]:
    """Return the `.tflite` and, where the card beside it describes that file, the card.

    Parameters
    ----------
    path : Path
        A `.tflite` file, or a model directory with `model.tflite` in it.

    Raises
    ------
    ModelError
        If there is no such file; for a directory also if its card is absent, damaged or belongs to
        another `.tflite`.
    """
    if path.is_dir():
        # The one definition of a model directory; it also checks the card against the file.
        from myowave.model_card import load_model_dir

        card, tflite = load_model_dir(path)
        return tflite, card.to_json()
    try:
        with path.open("rb") as file:
            # Not more than can be a model: one byte over the limit is enough to refuse the rest.
            tflite = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ModelError(
            f"{path}: {error.strerror}, expected a .tflite file or a model directory"
        ) from error
    return tflite, _card_beside(path, tflite)


def _card_beside(path: Path, tflite: bytes) -> Mapping[str, Any] | None:
    """Return the card next to a lone `.tflite` if it is that file's; a stranger's is no error."""
    try:
        card = json.loads((path.parent / "model.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    digest = hashlib.sha256(tflite).hexdigest()
    return card if isinstance(card, dict) and card.get("tflite_sha256") == digest else None
