"""Broken `.tflite` files: every number the reader looks at set to extremes, and random damage.

Where the numbers lie needs no second description of the format: the reader is watched as it reads.
"""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import flatbuffers
import numpy as np
from numpy.typing import NDArray

from myowave.compiler import Plan, load_plan
from myowave.compiler.emit import emit, plan_json
from myowave.compiler.graph import read_graph
from myowave.errors import MyowaveError

CORPUS = Path(__file__).with_name("corpus")
MESSAGE_MAX = 400

Rng = np.random.Generator
# Numbers of one vector to mutate: its ends. Weights are many and alike.
VECTOR_ENDS = 4


def accepted(content: bytes) -> Plan | None:
    """Check what must hold for any bytes: a plan that has tables, or a refusal in one short line.

    Returns the plan, or None for a refusal.
    """
    try:
        plan = load_plan(content)
    except MyowaveError as error:
        message = str(error)
        assert message
        assert len(message) < MESSAGE_MAX, message
        assert message.isprintable(), message
        return None
    emit(plan)
    json.dumps(plan_json(plan), allow_nan=False)
    return plan


def fields(content: bytes) -> list[tuple[int, int]]:
    """Return (offset, size) of every number the reader looks at, in bytes.

    These are table and vector offsets, field positions in vtables, lengths, scalars and the first
    and last elements of vectors; in a file that is refused, those up to there.
    """
    seen: set[tuple[int, int]] = set()
    get, get_vector = flatbuffers.encode.Get, flatbuffers.encode.GetVectorAsNumpy

    def watched_get(packer: Any, buffer: bytes, head: int) -> Any:
        seen.add((head, packer.size))
        return get(packer, buffer, head)

    def watched_vector(kind: Any, buffer: bytes, count: int, offset: int) -> NDArray[np.generic]:
        vector: NDArray[np.generic] = get_vector(kind, buffer, count, offset)
        for i in {*range(min(count, VECTOR_ENDS)), *range(max(0, count - VECTOR_ENDS), count)}:
            seen.add((offset + i * vector.itemsize, vector.itemsize))
        return vector

    with (
        mock.patch.object(flatbuffers.encode, "Get", watched_get),
        mock.patch.object(flatbuffers.encode, "GetVectorAsNumpy", watched_vector),
        contextlib.suppress(MyowaveError),
    ):
        read_graph(content)
    return sorted(seen)


def extremes(content: bytes, size: int) -> list[bytes]:
    """Return what a number of `size` bytes is set to, integers and float32 alike."""
    bits = 8 * size
    values = {0, 1, 2, 2**bits - 1, 2**bits - 2, 2 ** (bits - 1) - 1, 2 ** (bits - 1)}
    if size == 4:
        values |= {len(content), 2**16, 2**26}
    numbers = [value.to_bytes(size, "little") for value in sorted(values)]
    if size == 4:
        floats = (0.5, -1.0, np.inf, np.nan, 1e-42, 1.5e-38, 3e38)
        numbers += [np.float32(value).tobytes() for value in floats]
    return numbers


def with_bytes(content: bytes, offset: int, replacement: bytes) -> bytes:
    """Return `content` with `replacement` at `offset`."""
    return content[:offset] + replacement + content[offset + len(replacement) :]


def field_mutants(content: bytes) -> Iterator[bytes]:
    """Yield `content` with each of its numbers set to each extreme."""
    for offset, size in fields(content):
        for value in extremes(content, size):
            if content[offset : offset + size] != value:
                yield with_bytes(content, offset, value)


class Mutator:
    """Damages files at random: several numbers at once, bytes, cuts and pieces of other files."""

    def __init__(self, files: list[bytes]) -> None:
        self.files = files
        self.fields = {content: fields(content) for content in set(files)}

    def draw(self, rng: Rng) -> bytes:
        """Return one damaged file."""
        content = self.files[int(rng.integers(len(self.files)))]
        places = self.fields[content] or [(0, 4)]
        for _ in range(int(rng.choice([1, 1, 1, 2, 3, 6]))):
            content = self._damaged(content, places, rng)
        return content

    def _damaged(self, content: bytes, places: list[tuple[int, int]], rng: Rng) -> bytes:
        kind = rng.choice(6, p=[0.4, 0.2, 0.15, 0.15, 0.05, 0.05])
        offset, size = places[int(rng.integers(len(places)))]
        if kind == 0:
            values = extremes(content, size)
            return with_bytes(content, offset, values[int(rng.integers(len(values)))])
        if kind == 1:  # another number of the same size: offsets to other tables, other indices
            same = [place for place, other in places if other == size]
            source = same[int(rng.integers(len(same)))]
            return with_bytes(content, offset, content[source : source + size])
        if kind == 2:  # a little more or less
            number = int.from_bytes(content[offset : offset + size], "little")
            number = (number + int(rng.integers(-4, 5))) % 2 ** (8 * size)
            return with_bytes(content, offset, number.to_bytes(size, "little"))
        if kind == 3:
            place = int(rng.integers(max(len(content), 1)))
            return with_bytes(content, place, bytes([int(rng.integers(256))]))
        if kind == 4:
            return content[: int(rng.integers(len(content) + 1))]
        other = self.files[int(rng.integers(len(self.files)))]
        begin = int(rng.integers(len(other)))
        piece = other[begin : begin + int(rng.integers(1, 64))]
        return with_bytes(content, int(rng.integers(len(content) + 1)), piece)
