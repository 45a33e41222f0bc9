"""The wire protocol: its definition (`wire.toml`), the Python codec and the C generator."""

from myowave.wire.codec import (
    Decoder,
    Encoder,
    Frame,
    FrameError,
    VersionError,
    decode_frame,
    encode_frame,
)
from myowave.wire.definition import DEFINITION

__all__ = [
    "DEFINITION",
    "Decoder",
    "Encoder",
    "Frame",
    "FrameError",
    "VersionError",
    "decode_frame",
    "encode_frame",
]
