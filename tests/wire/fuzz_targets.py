"""What must hold for any bytes at all: what fuzzers hunt against and the tests keep."""

import struct
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from cobs import cobs

from myowave.errors import RecordingError
from myowave.link import Identity, Statistics
from myowave.log import MAGIC, LogData, read_log, read_records
from myowave.wire import DEFINITION, Decoder, Frame, FrameError, decode_frame, encode_frame
from tests.wire.c_codec import CCodec
from tests.wire.corruption import decode_in_python, expected_of_python

CORPUS = Path(__file__).with_name("corpus")
READ_AS = {"identity": Identity.from_frame, "statistics": Statistics.from_frame}
Mutate = Callable[[bytes, int], bytes]


def check_line(line: bytes, codec: CCodec) -> None:
    """Decode a line whole, in pieces and in C: one result, of frames that make sense."""
    line += b"\0"
    whole = decode_in_python(line, [])
    assert decode_in_python(line, list(range(1, len(line)))) == whole
    assert expected_of_python(codec.decode(line)) == whole
    decoder = Decoder()
    for frame in decoder.feed(line):
        check_frame(frame)
    assert len(decoder._tail) <= DEFINITION.max_encoded
    assert sum(map(len, whole.frames)) <= len(line)


def check_frame(frame: Frame) -> None:
    """Require consistent fields, which encode to the same frame again."""
    encoded = encode_frame(frame.name, frame.sequence, **frame.fields)
    again = decode_frame(encoded[1:-1])
    # Numbers that are none have more than one form in bytes, and Python keeps one.
    scalars = (v for v in frame.fields.values() if isinstance(v, float))
    assert again.raw == frame.raw or any(np.isnan(value) for value in scalars)
    for field in DEFINITION.frames[frame.name].fields:
        if field.is_matrix:
            assert frame[field.name].ndim == 2
    read = READ_AS.get(frame.name)
    if read is not None:
        try:
            read(frame)
        except FrameError:
            return


def check_log(content: bytes, folder: Path) -> LogData | None:
    """Read a log: rows that fit each other, or one line that says why not."""
    path = folder / "log"
    path.write_bytes(content)
    try:
        log = read_log(path)
    except RecordingError as error:
        assert "\n" not in str(error)
        return None
    n, m = log.n_samples, log.predictions.shape[1]
    if log.identity is not None:
        assert m == len(log.identity.muscles)
        assert log.envelope.shape == (n, m)
    shapes = {
        "predictions": (n, m),
        **dict.fromkeys(("counts", "corrected"), (n, 6)),
        **dict.fromkeys(("run", "device_us", "host_s", "warm_up", "missing", "has_counts"), (n,)),
    }
    for name, shape in shapes.items():
        assert getattr(log, name).shape == shape, name
    assert np.all(np.diff(log.run) >= 0)
    records = list(read_records(path))
    assert sum(record is None for record in records) <= log.damaged_records
    assert len(records) <= content.count(b"\0") + 1
    return log


# ---- changes that leave the checksum right -------------------------------------------------------


def with_checksum(body: bytes) -> bytes:
    """Return a body with its checksum, stuffed."""
    stuffed: bytes = cobs.encode(body + struct.pack("<I", zlib.crc32(body)))
    return stuffed


def change_run(runs: list[bytes], choice: int, mutate: Mutate, most: int) -> None:
    """Change one run between zero bytes within its checksum."""
    chosen = choice % len(runs)
    try:
        body = cobs.decode(runs[chosen])[:-4]
    except cobs.DecodeError:
        body = runs[chosen]
    runs[chosen] = with_checksum(mutate(body, most))


def change_line(line: bytes, choice: int, mutate: Mutate) -> bytes:
    """Change one frame of a line within its checksum; now and then add one."""
    runs = [run for run in line.split(b"\0") if run]
    if not runs or choice % 8 == 0:
        spec = list(DEFINITION.frames.values())[choice // 8 % len(DEFINITION.frames)]
        runs.append(with_checksum(struct.pack("<BHB", spec.type, len(runs), 2)))
    change_run(runs, choice // 8, mutate, DEFINITION.max_frame - 4)
    return join(runs)


def change_log(content: bytes, choice: int, mutate: Mutate) -> bytes:
    """Change one record of a log within its checksum."""
    runs = [run for run in content.removeprefix(MAGIC).split(b"\0") if run]
    if not runs:
        runs.append(with_checksum(bytes(12)))
    change_run(runs, choice, mutate, 600)
    return MAGIC + join(runs)


def join(runs: Iterable[bytes]) -> bytes:
    """Return runs as they stand on a line or in a log."""
    return b"".join(run + b"\0" for run in runs)
