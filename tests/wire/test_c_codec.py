"""The firmware's codec against the Python one and against zlib, in both directions."""

import struct
import zlib

import pytest
from cobs import cobs
from hypothesis import given, settings
from hypothesis import strategies as st

from myowave.wire import DEFINITION, FrameError, decode_frame, encode_frame
from tests.wire.c_codec import CCodec
from tests.wire.corruption import decode_in_python, expected_of_python
from tests.wire.strategies import frames, streams


@pytest.fixture(scope="module")
def codec(tmp_path_factory):
    return CCodec.build(tmp_path_factory.mktemp("wire"))


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


@pytest.mark.parametrize("excess", [0, 1, 2])
def test_short_runs_of_cobs_do_not_make_a_longer_frame(codec, excess):
    """The longest encoded frame, all of it in short runs, would hold two bytes too many."""
    body = struct.pack("<BH", DEFINITION.frames["data"].type, 7)
    body += bytes(DEFINITION.limits["max_payload"] + excess)
    stuffed = cobs.encode(body + struct.pack("<I", zlib.crc32(body)))
    assert len(stuffed) <= DEFINITION.max_encoded
    line = b"\0" + stuffed + b"\0"
    received = codec.decode(line)
    assert (len(received.frames), received.malformed) == ((1, 0) if excess == 0 else (0, 1))
    assert decode_in_python(line, []) == expected_of_python(received)
    with pytest.raises(FrameError, match="too many" if excess == 0 else "expected 7 to 519"):
        decode_frame(stuffed)


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
    assert decode_in_python(line, []) == expected_of_python(received)


@settings(deadline=None)
@given(st.binary(max_size=4000))
def test_both_make_the_same_of_garbage(codec, line):
    line += b"\0"
    received = codec.decode(line)
    assert decode_in_python(line, []) == expected_of_python(received)
