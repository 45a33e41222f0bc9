"""The firmware's codec against the Python one and against zlib, in both directions."""

import struct
import subprocess
import zlib
from dataclasses import dataclass
from typing import Any

import cffi
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from myowave.paths import firmware_dir
from myowave.wire import DEFINITION, Decoder, decode_frame, encode_frame
from tests.wire.strategies import frames, streams

SHIM = """\
#include "wire.h"

size_t shim_decoder_bytes(void) { return sizeof(mw_wire_decoder); }
void shim_init(void *decoder) { mw_wire_decoder_init(decoder); }

/* Writes each event as one byte, a frame followed by type, sequence, length, payload. */
size_t shim_feed(void *decoder, const uint8_t *bytes, size_t n, uint8_t *out) {
    uint8_t *at = out;
    for (size_t i = 0; i < n; i++) {
        mw_wire_frame frame;
        mw_wire_event event = mw_wire_decode(decoder, bytes[i], &frame);
        if (event == MW_WIRE_NOTHING) {
            continue;
        }
        *at++ = (uint8_t)event;
        if (event == MW_WIRE_FRAME) {
            *at++ = frame.type;
            at = mw_wire_put_u(at, frame.sequence, 2u);
            at = mw_wire_put_u(at, frame.length, 2u);
            memcpy(at, frame.payload, frame.length);
            at += frame.length;
        }
    }
    return (size_t)(at - out);
}
"""
INTERFACE = """
size_t shim_decoder_bytes(void);
void shim_init(void *decoder);
size_t shim_feed(void *decoder, const uint8_t *bytes, size_t n, uint8_t *out);
uint32_t mw_wire_crc32(const uint8_t *bytes, size_t length);
size_t mw_wire_encode(uint8_t *out, uint8_t type, uint16_t sequence, const uint8_t *payload,
                      size_t length);
"""
FRAME, CRC_ERROR, MALFORMED = 1, 2, 3


@dataclass
class Received:
    """What the C decoder made of a line."""

    frames: list[bytes]  # type, sequence, payload
    crc_errors: int = 0
    malformed: int = 0


class CCodec:
    """The firmware's wire.c as a library."""

    def __init__(self, library: str) -> None:
        self.ffi = cffi.FFI()
        self.ffi.cdef(INTERFACE)
        self.lib: Any = self.ffi.dlopen(library)

    def decode(self, line: bytes) -> Received:
        decoder = self.ffi.new("uint64_t[]", self.lib.shim_decoder_bytes() // 8 + 1)
        self.lib.shim_init(decoder)
        out = self.ffi.new("uint8_t[]", 4 * len(line) + 16)
        events = bytes(self.ffi.buffer(out, self.lib.shim_feed(decoder, line, len(line), out)))
        received = Received([])
        at = 0
        while at < len(events):
            event = events[at]
            at += 1
            received.crc_errors += event == CRC_ERROR
            received.malformed += event == MALFORMED
            if event == FRAME:
                (length,) = struct.unpack_from("<H", events, at + 3)
                received.frames.append(events[at : at + 3] + events[at + 5 : at + 5 + length])
                at += 5 + length
        return received

    def encode(self, number: int, sequence: int, payload: bytes) -> bytes:
        out = self.ffi.new("uint8_t[]", DEFINITION.max_encoded + 2)
        length = self.lib.mw_wire_encode(out, number, sequence, payload, len(payload))
        return bytes(self.ffi.buffer(out, length))


@pytest.fixture(scope="module")
def codec(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wire")
    (folder / "shim.c").write_text(SHIM)
    app = firmware_dir() / "app"
    library = folder / "wire.so"
    subprocess.run(
        [
            *("cc", "-std=c11", "-O1", "-Wall", "-Wextra", "-Wconversion", "-Werror"),
            *("-fPIC", "-shared", f"-I{app}", "-o", library, folder / "shim.c", app / "wire.c"),
        ],
        check=True,
    )
    return CCodec(str(library))


@given(st.binary(max_size=600))
def test_crc_is_zlibs(codec, data):
    assert codec.lib.mw_wire_crc32(data, len(data)) == zlib.crc32(data)


@given(frames())
def test_both_encode_the_same_bytes(codec, frame):
    name, sequence, values = frame
    encoded = encode_frame(name, sequence, **values)
    body = decode_frame(encoded[1:-1]).raw
    assert codec.encode(body[0], sequence, body[3:]) == encoded
    assert codec.decode(encoded).frames == [body]


@given(st.binary(min_size=200, max_size=512))
def test_long_runs_without_a_zero(codec, data):
    payload = data.replace(b"\0", b"\1")
    encoded = codec.encode(0x55, 0x0101, payload)
    assert 0 not in encoded[1:-1]
    assert codec.decode(encoded).frames == [b"\x55\x01\x01" + payload]


def test_too_long_a_payload_is_refused(codec):
    assert codec.encode(1, 0, bytes(DEFINITION.limits["max_payload"] + 1)) == b""


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_both_make_the_same_of_a_damaged_line(codec, data):
    sent = data.draw(st.lists(frames(), min_size=1, max_size=6))
    encoded = [encode_frame(name, index, **values) for index, (name, _, values) in enumerate(sent)]
    line, intact = data.draw(streams(encoded))
    line += b"\0"
    received = codec.decode(line)
    for index in intact:
        assert decode_frame(encoded[index][1:-1]).raw in received.frames
    decoder = Decoder()
    assert [frame.raw for frame in decoder.feed(line)] == received.frames
    assert (decoder.crc_errors, decoder.malformed) == (received.crc_errors, received.malformed)


@given(st.binary(max_size=4000))
def test_both_make_the_same_of_garbage(codec, line):
    line += b"\0"
    received = codec.decode(line)
    decoder = Decoder()
    assert [frame.raw for frame in decoder.feed(line)] == received.frames
    assert (decoder.crc_errors, decoder.malformed) == (received.crc_errors, received.malformed)
