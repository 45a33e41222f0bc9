"""What both decoders promise of any line: nothing that was not sent, and all that stayed whole.

Both up to what a checksum of 32 bits can promise (`myowave.wire.codec`): of ten million frames
damaged at random one passes for whole with a chance of 1 in 430. The seeds of the tests are fixed,
so that a test that has passed does not fail by that chance later.
"""

import random
from dataclasses import dataclass

from myowave.wire import Decoder, FrameError
from myowave.wire.codec import decode_body
from tests.wire.c_codec import CCodec, Line, Received


def expected_of_python(received: Received) -> Received:
    """Return what the Python decoder, which also reads a frame's fields, is to make of a line."""
    expected = Received([], received.crc_errors, received.malformed)
    for body in received.frames:
        try:
            decode_body(body)
        except FrameError:
            expected.malformed += 1
        else:
            expected.frames.append(body)
    return expected


def decode_in_python(line: bytes, cuts: list[int]) -> Received:
    """Return what the Python decoder makes of a line that comes in pieces."""
    decoder = Decoder()
    frames = []
    for begin, end in zip([0, *cuts], [*cuts, len(line)], strict=True):
        frames += [frame.raw for frame in decoder.feed(line[begin:end])]
    return Received(frames, decoder.crc_errors, decoder.malformed)


def check_delivered(line: Line, delivered: list[bytes]) -> None:
    """Require that what was delivered was sent, in that order, and nothing whole is missing."""
    sent = iter(line.frames)
    for body in delivered:
        for candidate, intact in sent:
            if candidate == body:
                break
            assert not intact, "a whole frame was not delivered, or a frame out of its order"
        else:
            raise AssertionError("a frame was delivered that was not sent")
    assert not any(intact for _, intact in sent), "a whole frame was not delivered"


@dataclass
class Figures:
    """What went through a decoder."""

    lines: int = 0
    damaged: int = 0
    whole: int = 0
    delivered: int = 0
    crc_errors: int = 0
    malformed: int = 0


def corrupt_python(codec: CCodec, frames: int, seed: int) -> Figures:
    """Feed lines to the Python decoder until so many damaged frames have gone through.

    Raises
    ------
    AssertionError
        If it delivers what was not sent, misses a whole frame, or differs from the C decoder.
    """
    figures = Figures()
    rng = random.Random(seed)
    for line in codec.lines(seed):
        received = decode_in_python(line.content, [rng.randrange(len(line.content))])
        check_delivered(line, received.frames)
        assert received == expected_of_python(codec.decode(line.content))
        figures.lines += 1
        figures.damaged += line.damaged
        figures.whole += len(line.frames) - line.damaged
        figures.delivered += len(received.frames)
        figures.crc_errors += received.crc_errors
        figures.malformed += received.malformed
        if figures.damaged >= frames:
            break
    return figures
