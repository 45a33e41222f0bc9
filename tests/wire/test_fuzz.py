"""No bytes upset the decoders, the firmware's commands or the log reader; see corpus/README.md."""

import json
import struct
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from myowave.errors import LinkError
from myowave.link import Device, Identity
from myowave.log import MAGIC, read_log
from myowave.paths import REPOSITORY
from myowave.pty_port import Pty
from myowave.replay import ReplayedBoard
from myowave.wire import DEFINITION, Decoder, Encoder, FrameError, decode_frame, encode_frame
from myowave.wire.codec import decode_body
from tests.wire.c_codec import SANITIZERS, C, CCodec, build_corrupted, compile_c, target_sources
from tests.wire.corruption import corrupt_python
from tests.wire.examples import example_line, example_values, write_example_log
from tests.wire.fuzz_targets import CORPUS, check_line, check_log, with_checksum

LINES = sorted((CORPUS / "lines").iterdir())
LOGS = sorted((CORPUS / "logs").iterdir())
# Kept for the life of the project, whatever is found later.
CORPUS_BYTES = 100_000
MILLION = 1_000_000


@pytest.fixture(scope="module")
def codec(tmp_path_factory) -> CCodec:
    return CCodec.build(tmp_path_factory.mktemp("wire"))


# ---- the corpus ----------------------------------------------------------------------------------


def test_the_corpus_is_small():
    assert len(LINES) > 20
    assert len(LOGS) > 20
    assert sum(path.stat().st_size for path in (*LINES, *LOGS)) < CORPUS_BYTES


@pytest.mark.parametrize("path", LINES, ids=lambda path: path.name[:8])
def test_both_decoders_make_the_same_of_a_line(codec, path):
    check_line(path.read_bytes(), codec)


@pytest.mark.parametrize("path", LOGS, ids=lambda path: path.name[:8])
def test_a_log_is_read_or_refused(path, tmp_path):
    check_log(path.read_bytes(), tmp_path)


def test_examples_of_everything_are_read(codec, tmp_path):
    """What the hunts begin with is what it is meant to be."""
    line = example_line()
    check_line(line, codec)
    assert len(codec.decode(line).frames) == len(DEFINITION.frames)
    write_example_log(tmp_path / "example")
    log = check_log((tmp_path / "example").read_bytes(), tmp_path)
    assert log is not None
    assert (log.n_samples, log.damaged_records) == (1, 0)


@pytest.mark.parametrize("target", ["decoder", "app"])
def test_the_firmware_takes_every_line(target, tmp_path):
    """Under sanitizers; the application still answers a ping after each, in whole frames."""
    sources, options = target_sources(target)
    program = tmp_path / "fuzz"
    compile_c(program, (*sources, C / "fuzz_files.c"), *options, "-O1", *SANITIZERS)
    done = subprocess.run([program, *LINES], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stderr.count("\n") == len(LINES)


# ---- damaged frames ------------------------------------------------------------------------------


def run_corrupted(program: Path, frames: int, seed: int) -> dict[str, int]:
    done = subprocess.run(
        [program, str(frames), str(seed)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    figures: dict[str, int] = json.loads(done.stdout)
    return figures


@pytest.mark.parametrize(
    ("frames", "seed", "options"),
    [(10 * MILLION, 1, ()), (MILLION // 2, 2, ("-O1", *SANITIZERS))],
    ids=["ten million", "sanitized"],
)
def test_the_firmware_delivers_what_was_sent_and_nothing_else(tmp_path, frames, seed, options):
    """The program itself holds every frame delivered against those sent, and misses none whole."""
    figures = run_corrupted(build_corrupted(tmp_path, *options), frames, seed)
    assert figures["damaged"] >= frames
    # Damage to a zero byte at a frame's edge leaves it readable; beyond that nothing passes.
    assert figures["whole"] < figures["delivered"] < figures["whole"] + 0.05 * figures["damaged"]
    assert min(figures["crc_errors"], figures["malformed"]) > 0.1 * frames


def test_python_delivers_what_was_sent_and_nothing_else(codec, tmp_path):
    """On the same lines as the firmware, with the same counters to the last."""
    frames = MILLION // 8
    figures = corrupt_python(codec, frames, 1)
    assert vars(figures) == run_corrupted(build_corrupted(tmp_path), frames, 1)


def test_the_command_for_more_of_them():
    tool = REPOSITORY / "tools" / "fuzz.py"
    words = [sys.executable, str(tool), "corrupted", "--frames", "3000", "--seed", "9"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    in_c, in_python = (line.partition(": ")[2] for line in done.stdout.splitlines())
    assert json.loads(in_c[: in_c.index("}") + 1]) == json.loads(
        in_python[: in_python.index("}") + 1]
    )


def test_the_check_of_damaged_lines_can_fail(codec, monkeypatch):
    """A decoder that lets damage pass, or loses a whole frame, would be found out at once."""

    class Credulous(Decoder):
        def feed(self, data: bytes) -> list[Any]:
            frames = super().feed(data)
            return [decode_frame(encode_frame("ping", 1, token=7)[1:-1]), *frames]

    class Forgetful(Decoder):
        def feed(self, data: bytes) -> list[Any]:
            return super().feed(data)[1:]

    for decoder, message in ((Credulous, "not delivered|not sent"), (Forgetful, "not delivered")):
        monkeypatch.setattr("tests.wire.corruption.Decoder", decoder)
        with pytest.raises(AssertionError, match=message):
            corrupt_python(codec, 1000, 1)


# ---- memory --------------------------------------------------------------------------------------


def peak_bytes(work: Callable[[], object]) -> int:
    """Return the most memory Python has held at once for `work`, above what it held before."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "noise", [b"\1", b"\1\2\0", bytes(range(256))], ids=["run", "short", "all"]
)
def test_an_endless_line_takes_bounded_memory(noise):
    chunk = (4096 // len(noise) + 1) * noise
    decoder = Decoder()

    def feed() -> None:
        for _ in range(80):
            decoder.feed(chunk)

    assert peak_bytes(feed) < 20 * len(chunk) + 100_000
    # And a frame that comes after all that is taken.
    assert len(decoder.feed(b"\0" + Encoder().encode("ping", token=7))) == 1


def test_a_log_without_a_zero_byte_takes_bounded_memory(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(MAGIC + 32 * MILLION * b"\1")
    log = []
    assert peak_bytes(lambda: log.append(read_log(path))) < 16 * MILLION
    assert (log[0].n_samples, log[0].damaged_records) == (0, 1)


# ---- content no board sends, its checksum right --------------------------------------------------


def identity(**changes: object) -> bytes:
    values = {**example_values(DEFINITION.frames["identity"]), **changes}
    return encode_frame("identity", 0, **values)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rate_hz": 0}, "expected both over 0"),
        ({"receptive_field": 0}, "expected both over 0"),
        ({"outputs": 3}, "muscles named: 1, expected 3"),
        ({"output_scale": float("nan")}, "scale is no number"),
        ({"gyro_lsb_rad_s": float("inf")}, "scale is no number"),
        ({"turn": 9}, "turn 9"),
    ],
)
def test_a_board_there_cannot_be_is_refused_in_one_line(changes, message):
    frame = decode_frame(identity(**changes)[1:-1])
    with pytest.raises(FrameError, match=message):
        Identity.from_frame(frame)
    with Pty() as pty, Device.open(pty.port) as device:
        with open(pty.controller, "wb", buffering=0, closefd=False) as board:
            board.write(identity(**changes))
        with pytest.raises(LinkError, match=f"{message}.*; flash the board again") as refused:
            device.identify()
    assert "\n" not in str(refused.value)


def test_a_time_beyond_all_clocks_is_no_frame():
    """It would not fit the integers of an array."""
    body = bytearray(decode_frame(encode_frame("pong", 0, token=1, time_us=0)[1:-1]).raw)
    struct.pack_into("<Q", body, 7, 1 << 63)
    with pytest.raises(FrameError, match=r"pong\.time_us: .*expected 63 bits"):
        decode_body(bytes(body))


@pytest.mark.parametrize(
    "event", [b"[]", b"7", b"{", b'"\xff"', 100_000 * b"[", b'{"event": "marker", "label": [1]}']
)
def test_an_event_no_logger_writes_is_a_damaged_record_or_harmless(event, tmp_path):
    path = tmp_path / "example"
    write_example_log(path)
    record = with_checksum(struct.pack("<Bd", 1, 1.0) + event)
    content = path.read_bytes() + record + b"\0"
    log = check_log(content, tmp_path)
    assert log is not None
    assert len(log.markers) == 1
    assert log.damaged_records == 1
    (tmp_path / "again").write_bytes(content)
    ReplayedBoard(tmp_path / "again")
