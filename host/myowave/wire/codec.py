"""Frames to bytes and back, driven by the definition.

On the line a frame is `0x00 COBS(type u8, sequence u16, payload, crc32 u32) 0x00`: the zero byte
occurs nowhere else, so a decoder finds the next frame after any damage, and because frames both
begin and end with it, what is damaged costs only the frames it hits. The checksum is zlib's CRC-32
over everything before it. COBS: Cheshire and Baker, Consistent Overhead Byte Stuffing, 1999.

Of frames damaged at random a checksum of 32 bits takes one in 2^32 for whole: at 50 frames a
second, all of them damaged, one in 2.7 years.
"""

import struct
import zlib
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from cobs import cobs

from myowave.wire.definition import (
    CRC_SIZE,
    DEFINITION,
    HEADER_SIZE,
    SCALARS,
    Field,
    FrameSpec,
)

_HEADER = struct.Struct("<BH")
_CRC = struct.Struct("<I")
SEQUENCE_RANGE = 1 << 16
_LARGEST_TIME = (1 << 63) - 1


class FrameError(ValueError):
    """Bytes that are no frame of this protocol: expected on a noisy line, so no MyowaveError."""


class VersionError(FrameError):
    """An intact identity frame of another version of this protocol.

    Attributes
    ----------
    version : int
        The sender's.
    """

    def __init__(self, version: int) -> None:
        super().__init__(f"identity: protocol version {version}")
        self.version = version


@dataclass(frozen=True)
class Frame:
    """One decoded frame.

    Attributes
    ----------
    name : str
        Name in `wire.toml`.
    sequence : int
        The sender's frame counter, 0 to 65535.
    fields : dict
        Value of each field: int, float, bytes, str, list of str, or an int array (rows, columns).
    raw : bytes
        Type, sequence and payload as received, without the checksum.
    """

    name: str
    sequence: int
    fields: dict[str, Any]
    raw: bytes = b""

    def __getitem__(self, field: str) -> Any:
        """Return the value of one field."""
        return self.fields[field]


@cache
def _head_struct(spec: FrameSpec) -> struct.Struct:
    codes = (f"{f.length}s" if f.type == "bytes" else SCALARS[f.type][0] for f in spec.head)
    return struct.Struct("<" + "".join(codes))


def _matrix_dtype(field: Field) -> np.dtype[Any]:
    return np.dtype(f"<{field.type[0]}{SCALARS[field.type][1]}")


def _matrix_shape(field: Field, values: dict[str, Any]) -> tuple[int, int]:
    rows, columns = (
        extent if isinstance(extent, int) else int(values[str(extent)])
        for extent in (field.rows, field.columns)
    )
    return rows, columns


def _present(field: Field, values: dict[str, Any]) -> bool:
    return field.when is None or bool(values["flags"] & DEFINITION.data_flags[field.when])


def encode_payload(spec: FrameSpec, values: dict[str, Any]) -> bytes:
    """Return the payload bytes of a frame with these field values.

    Raises
    ------
    FrameError
        If a value is missing, out of its type's range, or the payload would be too long.
    """
    try:
        parts = [_head_struct(spec).pack(*(values[field.name] for field in spec.head))]
        for field in spec.tail:
            if field.is_matrix:
                if _present(field, values):
                    matrix = np.asarray(values[field.name], dtype=_matrix_dtype(field))
                    if matrix.shape != _matrix_shape(field, values):
                        raise FrameError(
                            f"{spec.name}.{field.name}: shape {matrix.shape}, "
                            f"expected {_matrix_shape(field, values)}"
                        )
                    parts.append(matrix.tobytes())
            else:
                strings = [values[field.name]] if field.type == "string" else values[field.name]
                if field.type == "strings":
                    parts.append(struct.pack("<B", len(strings)))
                for text in strings:
                    data = text.encode("utf-8")
                    parts.append(struct.pack("<B", len(data)) + data)
    except (struct.error, KeyError, OverflowError) as error:
        raise FrameError(f"frame '{spec.name}': {error}") from error
    payload = b"".join(parts)
    if len(payload) > DEFINITION.limits["max_payload"]:
        raise FrameError(
            f"frame '{spec.name}': payload of {len(payload)} bytes, "
            f"expected at most {DEFINITION.limits['max_payload']}"
        )
    return payload


def decode_payload(spec: FrameSpec, payload: bytes) -> dict[str, Any]:
    """Return the field values of a payload, which must have exactly the length they imply.

    Raises
    ------
    FrameError
        If it has not, a string is not UTF-8, or a time is beyond 63 bits.
    """
    head = _head_struct(spec)
    if len(payload) < head.size:
        raise FrameError(f"{spec.name}: payload of {len(payload)} bytes, expected {head.size}")
    values = dict(zip((f.name for f in spec.head), head.unpack_from(payload), strict=True))
    for field in spec.head:
        # 292 000 years in microseconds: what is beyond does not fit the integers of an array.
        if field.type == "u64" and values[field.name] > _LARGEST_TIME:
            raise FrameError(f"{spec.name}.{field.name}: {values[field.name]}, expected 63 bits")
    at = head.size

    def take(n: int) -> bytes:
        nonlocal at
        if at + n > len(payload):
            raise FrameError(f"{spec.name}: payload of {len(payload)} bytes ends inside a field")
        at += n
        return payload[at - n : at]

    def take_string() -> str:
        try:
            return take(take(1)[0]).decode("utf-8")
        except UnicodeDecodeError as error:
            raise FrameError(f"{spec.name}: text is not UTF-8") from error

    for field in spec.tail:
        if field.is_matrix:
            shape = _matrix_shape(field, values)
            if not _present(field, values):
                shape = (0, shape[1])
            dtype = _matrix_dtype(field)
            data = take(shape[0] * shape[1] * dtype.itemsize)
            values[field.name] = np.frombuffer(data, dtype=dtype).reshape(shape)
        elif field.type == "string":
            values[field.name] = take_string()
        else:
            values[field.name] = [take_string() for _ in range(take(1)[0])]
    if at != len(payload):
        raise FrameError(f"{spec.name}: {len(payload) - at} bytes too many in the payload")
    return values


def encode_frame(name: str, sequence: int, **values: Any) -> bytes:
    """Return the bytes of one frame as they go on the line, zero bytes included."""
    spec = DEFINITION.frames[name]
    body = _HEADER.pack(spec.type, sequence % SEQUENCE_RANGE) + encode_payload(spec, values)
    stuffed: bytes = cobs.encode(body + _CRC.pack(zlib.crc32(body)))
    return b"\0" + stuffed + b"\0"


def decode_body(body: bytes) -> Frame:
    """Return the frame of type, sequence and payload (checksum already verified and removed)."""
    if len(body) < HEADER_SIZE:
        raise FrameError(f"{len(body)} bytes, expected at least {HEADER_SIZE}")
    number, sequence = _HEADER.unpack_from(body)
    spec = DEFINITION.by_type.get(number)
    if spec is None:
        raise FrameError(f"unknown frame type {number}")
    payload = body[HEADER_SIZE:]
    # The version comes first in every version, so that a stranger can be told from noise.
    if spec.name == "identity" and payload and payload[0] != DEFINITION.limits["version"]:
        raise VersionError(payload[0])
    return Frame(spec.name, sequence, decode_payload(spec, payload), body)


class ChecksumError(FrameError):
    """A run of bytes with the form of a frame whose checksum is wrong."""


def decode_frame(encoded: bytes) -> Frame:
    """Return the frame in `encoded`, the bytes between two zero bytes.

    Raises
    ------
    ChecksumError
        If the checksum does not fit.
    FrameError
        If it is no frame for any other reason.
    """
    if len(encoded) > DEFINITION.max_encoded:
        raise FrameError(f"{len(encoded)} bytes, expected at most {DEFINITION.max_encoded}")
    try:
        decoded = cobs.decode(encoded)
    except cobs.DecodeError as error:
        raise FrameError(f"not COBS: {error}") from error
    if not HEADER_SIZE + CRC_SIZE <= len(decoded) <= DEFINITION.max_frame:
        raise FrameError(
            f"{len(decoded)} bytes, expected {HEADER_SIZE + CRC_SIZE} to {DEFINITION.max_frame}"
        )
    body, crc = decoded[:-CRC_SIZE], _CRC.unpack(decoded[-CRC_SIZE:])[0]
    if zlib.crc32(body) != crc:
        raise ChecksumError("checksum does not fit")
    return decode_body(body)


class Encoder:
    """Frames out, numbered one after the other."""

    def __init__(self) -> None:
        self.sequence = 0

    def encode(self, name: str, **values: Any) -> bytes:
        """Return the bytes of the next frame."""
        data = encode_frame(name, self.sequence, **values)
        self.sequence = (self.sequence + 1) % SEQUENCE_RANGE
        return data


class Decoder:
    """Bytes in, frames out; keeps counting what was damaged or lost.

    Attributes
    ----------
    crc_errors, malformed : int
        Runs of bytes between zero bytes with a wrong checksum, and such that are no frame.
    lost : int
        Frames missing from the sender's sequence numbers, damaged ones included.
    foreign_version : int or None
        Protocol version of the last identity frame in another one.
    """

    def __init__(self) -> None:
        self.crc_errors = 0
        self.malformed = 0
        self.lost = 0
        self.foreign_version: int | None = None
        self._tail = b""
        self._overlong = False
        self._next_sequence: int | None = None

    def feed(self, data: bytes) -> list[Frame]:
        """Return the frames completed by `data`; memory stays bounded whatever comes."""
        *runs, tail = (self._tail + data).split(b"\0")
        frames: list[Frame] = []
        for run in runs:
            if self._overlong or run:
                self._decode(run, frames)
            self._overlong = False
        if len(tail) > DEFINITION.max_encoded:
            self._overlong = True
            tail = tail[-1:]
        self._tail = tail
        return frames

    def restart(self) -> None:
        """Forget the unfinished frame and the sequence number: another sender follows."""
        self._tail = b""
        self._overlong = False
        self._next_sequence = None

    def _decode(self, run: bytes, frames: list[Frame]) -> None:
        if self._overlong:
            self.malformed += 1
            return
        try:
            frame = decode_frame(run)
        except ChecksumError:
            self.crc_errors += 1
            return
        except FrameError as error:
            if isinstance(error, VersionError):
                self.foreign_version = error.version
            self.malformed += 1
            return
        if self._next_sequence is not None:
            # Half the range or more is a sender that started anew, not a loss of that size.
            jump = (frame.sequence - self._next_sequence) % SEQUENCE_RANGE
            self.lost += jump if jump < SEQUENCE_RANGE // 2 else 0
        self._next_sequence = (frame.sequence + 1) % SEQUENCE_RANGE
        frames.append(frame)
