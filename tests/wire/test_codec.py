"""The Python codec: round trips, and damage that costs only the frames it hits."""

import struct
import zlib

import numpy as np
import pytest
from cobs import cobs
from hypothesis import given, settings
from hypothesis import strategies as st

from myowave.errors import ConfigError
from myowave.wire import (
    DEFINITION,
    Decoder,
    Encoder,
    FrameError,
    VersionError,
    decode_frame,
    encode_frame,
)
from myowave.wire.codec import decode_body
from myowave.wire.definition import WIRE_TOML, load_definition
from myowave.wire.generate import generated_files
from tests.wire.examples import example_values
from tests.wire.strategies import frames, streams


@given(frames())
def test_round_trip(frame):
    name, sequence, values = frame
    encoded = encode_frame(name, sequence, **values)
    assert encoded[0] == encoded[-1] == 0
    assert 0 not in encoded[1:-1]
    decoded = decode_frame(encoded[1:-1])
    assert (decoded.name, decoded.sequence) == (name, sequence)
    assert decoded.fields.keys() == values.keys()
    for key, value in values.items():
        assert np.array_equal(decoded[key], value), key


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damage_costs_only_the_frames_it_hits(data):
    sent = data.draw(st.lists(frames(), min_size=1, max_size=6))
    encoded = [encode_frame(name, index, **values) for index, (name, _, values) in enumerate(sent)]
    line, intact = data.draw(streams(encoded))
    decoder = Decoder()
    received = []
    while line:
        n = data.draw(st.integers(1, len(line)))
        received += decoder.feed(line[:n])
        line = line[n:]
    received += decoder.feed(b"\0")
    # An insertion of a zero byte splits a frame in two harmless parts; nothing invents a frame.
    names = {index: sent[index][0] for index in intact}
    got = {frame.sequence: frame.name for frame in received}
    assert names.items() <= got.items()
    assert [f.sequence for f in received] == sorted(f.sequence for f in received)
    assert all(sent[frame.sequence][0] == frame.name for frame in received)


@given(st.lists(st.binary(max_size=3000), max_size=10))
def test_garbage_gives_no_frame_and_bounded_memory(chunks):
    decoder = Decoder()
    for chunk in chunks:
        assert decoder.feed(chunk) == []
        assert len(decoder._tail) <= DEFINITION.max_encoded
    encoder = Encoder()
    (frame,) = decoder.feed(encoder.encode("ping", token=7))
    assert frame["token"] == 7


@settings(deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=50), st.integers(0, 0xFFFF))
def test_lost_frames_are_counted(kept, first):
    decoder = Decoder()
    encoder = Encoder()
    encoder.sequence = first
    for keep in kept:
        encoded = encoder.encode("ping", token=0)
        if keep:
            decoder.feed(encoded)
    # Loss shows when a later frame arrives, and the first frame says nothing of those before.
    inner = np.trim_zeros(kept)
    assert decoder.lost == len(inner) - sum(inner)


def test_a_board_that_starts_anew_is_no_loss():
    decoder = Decoder()
    decoder.feed(encode_frame("ping", 5000, token=0))
    decoder.feed(encode_frame("ping", 0, token=0))
    assert decoder.lost == 0


@pytest.mark.parametrize("name", list(DEFINITION.frames))
def test_every_wrong_length_is_refused(name):
    encoded = encode_frame(name, 0, **example_values(DEFINITION.frames[name]))
    body = decode_frame(encoded[1:-1]).raw
    for n in range(len(body)):
        with pytest.raises(FrameError):
            decode_body(body[:n])
    with pytest.raises(FrameError):
        decode_body(body + b"\0")


def test_a_sender_of_another_version_is_told_from_noise():
    """Its identity frame begins with its version, whatever follows in that version."""
    body = struct.pack("<BHB", DEFINITION.frames["identity"].type, 0, 1) + bytes(60)
    encoded = cobs.encode(body + struct.pack("<I", zlib.crc32(body)))
    with pytest.raises(VersionError) as caught:
        decode_frame(encoded)
    assert caught.value.version == 1
    decoder = Decoder()
    assert decoder.feed(b"\0" + encoded + b"\0") == []
    assert (decoder.foreign_version, decoder.malformed) == (1, 1)


def test_values_out_of_range_are_refused():
    with pytest.raises(FrameError, match="ping"):
        encode_frame("ping", 0, token=1 << 32)
    with pytest.raises(FrameError, match="token"):
        encode_frame("ping", 0)
    with pytest.raises(FrameError, match="shape"):
        encode_frame("replay_samples", 0, first=0, count=2, counts=np.zeros((3, 6)))


def test_generated_files_are_not_stale():
    for path, content in generated_files().items():
        assert path.read_text(encoding="utf-8") == content, (
            f"{path.name} is stale: python -m myowave.wire.generate"
        )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("type = 0x02", "type = 0x01", "unique"),
        ('from = "board"', 'from = "moon"', "moon"),
        ('type = "u64"', 'type = "u65"', "u65"),
        ("max_payload = 512", "max_payload = 8", "max_payload"),
    ],
)
def test_bad_definitions_are_refused(tmp_path, old, new, message):
    text = WIRE_TOML.read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "wire.toml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        load_definition(path)
