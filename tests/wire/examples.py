"""One frame of each type, and a log that holds them."""

from pathlib import Path
from typing import Any

import numpy as np

from myowave.log import LogWriter
from myowave.wire import DEFINITION, decode_frame, encode_frame
from myowave.wire.definition import FrameSpec


def example_values(spec: FrameSpec) -> dict[str, Any]:
    """Return a value for each field of a frame: ones, two strings, one row of a matrix."""
    values: dict[str, Any] = {
        field.name: {"bytes": b"\1" * field.length, "string": "text", "strings": ["a", "b"]}.get(
            field.type, 1
        )
        for field in spec.fields
    }
    if spec.name == "identity":
        values["protocol_version"] = DEFINITION.limits["version"]
        values["muscles"] = ["a"]
    for field in spec.fields:
        if field.is_matrix:
            columns = field.columns if isinstance(field.columns, int) else 1
            values[field.name] = np.ones((0 if field.when else 1, columns))
    return values


def example_line() -> bytes:
    """Return a line with one frame of each type."""
    return b"".join(
        encode_frame(spec.name, number, **example_values(spec))
        for number, spec in enumerate(DEFINITION.frames.values())
    )


def write_example_log(path: Path) -> None:
    """Write a log with one event of each kind and one frame of each type."""
    with LogWriter(path) as writer:
        writer.event("opened", url="port")
        for number, spec in enumerate(DEFINITION.frames.values()):
            encoded = encode_frame(spec.name, number, **example_values(spec))
            writer.frame(decode_frame(encoded[1:-1]), 1.0)
        writer.event("marker", 2.0, label="grip")
        writer.event("note", 2.0, text="a note")
        writer.event("model_card", 2.0, card={"name": "model"})
        writer.event("lost", 2.0, reason="gone")
        writer.event("resumed", 3.0, url="port")
        writer.event("closed", 3.0, reason="")
