"""Random frames of every type, and random damage to the bytes of a frame."""

import string
from typing import Any

import numpy as np
from hypothesis import strategies as st

from myowave.wire.definition import DEFINITION, SCALARS, Field, FrameSpec

RANGES = {
    "u8": (0, 0xFF),
    "i8": (-0x80, 0x7F),
    "u16": (0, 0xFFFF),
    "i16": (-0x8000, 0x7FFF),
    "u32": (0, 0xFFFFFFFF),
    "u64": (0, 0x7FFFFFFFFFFFFFFF),  # what the codec takes of it
}
# Fields that say how many rows or columns follow: kept so that any frame fits its payload.
EXTENTS = {"count": (0, 20), "outputs": (0, 8), "flags": (0, 3)}


def scalar(field: Field) -> st.SearchStrategy[Any]:
    if field.type == "f32":
        return st.floats(width=32, allow_nan=False)
    if field.name == "protocol_version":
        return st.just(DEFINITION.limits["version"])
    low, high = EXTENTS.get(field.name, RANGES[field.type])
    return st.integers(low, high)


@st.composite
def values_of(draw: st.DrawFn, spec: FrameSpec) -> dict[str, Any]:
    """Return a value for each field of `spec`."""
    values: dict[str, Any] = {}
    text = st.text(string.ascii_letters + "µ°", max_size=8)
    for field in spec.fields:
        if field.type == "bytes":
            values[field.name] = draw(st.binary(min_size=field.length, max_size=field.length))
        elif field.type == "string":
            values[field.name] = draw(text)
        elif field.type == "strings":
            values[field.name] = draw(st.lists(text, max_size=6))
        elif field.is_matrix:
            present = field.when is None or values["flags"] & DEFINITION.data_flags[field.when]
            rows, columns = (
                extent if isinstance(extent, int) else values[str(extent)]
                for extent in (field.rows, field.columns)
            )
            rows = rows if present else 0
            size = rows * columns * SCALARS[field.type][1]
            data = draw(st.binary(min_size=size, max_size=size))
            dtype = f"<{field.type[0]}{SCALARS[field.type][1]}"
            values[field.name] = np.frombuffer(data, dtype).reshape(rows, columns)
        else:
            values[field.name] = draw(scalar(field))
    return values


@st.composite
def frames(draw: st.DrawFn) -> tuple[str, int, dict[str, Any]]:
    """Return name, sequence number and values of one frame of any type."""
    spec = draw(st.sampled_from(list(DEFINITION.frames.values())))
    return spec.name, draw(st.integers(0, 0xFFFF)), draw(values_of(spec))


@st.composite
def damaged(draw: st.DrawFn, encoded: bytes) -> bytes:
    """Return `encoded` after something a line does to bytes."""
    kind = draw(st.sampled_from(["flip", "cut end", "cut begin", "lose byte", "insert", "garbage"]))
    at = draw(st.integers(1, len(encoded) - 2))
    if kind == "flip":
        flipped = encoded[at] ^ (1 << draw(st.integers(0, 7)))
        return encoded[:at] + bytes([flipped]) + encoded[at + 1 :]
    if kind == "cut end":
        return encoded[:at]
    if kind == "cut begin":
        return encoded[at + 1 :]
    if kind == "lose byte":
        return encoded[:at] + encoded[at + 1 :]
    if kind == "insert":
        return encoded[:at] + draw(st.binary(min_size=1, max_size=4)) + encoded[at:]
    return draw(st.binary(max_size=1200))


@st.composite
def streams(draw: st.DrawFn, encoded: list[bytes]) -> tuple[bytes, list[int]]:
    """Return a line's bytes that hold `encoded` frames, some damaged, and which are intact."""
    line = b""
    intact = []
    for index, frame in enumerate(encoded):
        if draw(st.booleans()):
            line += frame
            intact.append(index)
        else:
            line += draw(damaged(frame))
    return line, intact
