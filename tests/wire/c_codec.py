"""The firmware's frame codec as a library, and the generator of damaged lines beside it."""

import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cffi

from myowave.paths import REPOSITORY, firmware_dir
from myowave.wire import DEFINITION

C = Path(__file__).with_name("c")
APP = firmware_dir() / "app"
WARNINGS = ("-std=c11", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror")
SANITIZERS = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")

SHIM = """\
#include "lines.h"

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

static line_generator line;
void shim_line_init(uint64_t seed) { line_init(&line, seed); }
void shim_line_next(void) { line_next(&line); }
const uint8_t *shim_line_bytes(size_t *length) {
    *length = line.length;
    return line.bytes;
}
size_t shim_line_count(void) { return line.count; }
size_t shim_line_damaged(void) { return line.damaged; }
const uint8_t *shim_line_frame(size_t i, size_t *length, int *intact) {
    *length = line.frames[i].length;
    *intact = line.frames[i].intact;
    return line.frames[i].body;
}
"""
INTERFACE = """
size_t shim_decoder_bytes(void);
void shim_init(void *decoder);
size_t shim_feed(void *decoder, const uint8_t *bytes, size_t n, uint8_t *out);
uint32_t mw_wire_crc32(const uint8_t *bytes, size_t length);
size_t mw_wire_encode(uint8_t *out, uint8_t type, uint16_t sequence, const uint8_t *payload,
                      size_t length);
void shim_line_init(uint64_t seed);
void shim_line_next(void);
const uint8_t *shim_line_bytes(size_t *length);
size_t shim_line_count(void);
size_t shim_line_damaged(void);
const uint8_t *shim_line_frame(size_t i, size_t *length, int *intact);
"""
FRAME, CRC_ERROR, MALFORMED = 1, 2, 3


@dataclass
class Received:
    """What a decoder made of a line."""

    frames: list[bytes] = field(default_factory=list)  # type, sequence, payload
    crc_errors: int = 0
    malformed: int = 0


@dataclass(frozen=True)
class Line:
    """A line with frames on it, most of them damaged."""

    content: bytes
    frames: list[tuple[bytes, bool]]  # type, sequence, payload; whether nothing happened to it
    damaged: int


class CCodec:
    """The firmware's wire.c as a library."""

    def __init__(self, library: Path) -> None:
        self.ffi = cffi.FFI()
        self.ffi.cdef(INTERFACE)
        self.lib: Any = self.ffi.dlopen(str(library))

    @classmethod
    def build(cls, folder: Path) -> "CCodec":
        """Compile the codec into `folder`."""
        (folder / "shim.c").write_text(SHIM)
        library = folder / "wire.so"
        sources = (folder / "shim.c", APP / "wire.c", C / "lines.c")
        compile_c(library, sources, "-O2", "-fPIC", "-shared")
        return cls(library)

    def decode(self, line: bytes) -> Received:
        """Return what the firmware's decoder makes of a line."""
        decoder = self.ffi.new("uint64_t[]", self.lib.shim_decoder_bytes() // 8 + 1)
        self.lib.shim_init(decoder)
        out = self.ffi.new("uint8_t[]", 4 * len(line) + 16)
        events = bytes(self.ffi.buffer(out, self.lib.shim_feed(decoder, line, len(line), out)))
        received = Received()
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
        """Return one frame as the firmware sends it."""
        out = self.ffi.new("uint8_t[]", DEFINITION.max_encoded + 2)
        length = self.lib.mw_wire_encode(out, number, sequence, payload, len(payload))
        return bytes(self.ffi.buffer(out, length))

    def lines(self, seed: int) -> Iterator[Line]:
        """Yield damaged lines without end, those the C program `corrupted` gets with this seed."""
        self.lib.shim_line_init(seed)
        length, intact = self.ffi.new("size_t *"), self.ffi.new("int *")
        while True:
            self.lib.shim_line_next()
            at = self.lib.shim_line_bytes(length)
            content = bytes(self.ffi.buffer(at, length[0]))
            frames = []
            for i in range(self.lib.shim_line_count()):
                at = self.lib.shim_line_frame(i, length, intact)
                frames.append((bytes(self.ffi.buffer(at, length[0])), bool(intact[0])))
            yield Line(content, frames, self.lib.shim_line_damaged())


def build_corrupted(folder: Path, *options: str) -> Path:
    """Compile the program that puts damaged frames through the firmware's decoder."""
    program = folder / "corrupted"
    sources = (C / "corrupted.c", C / "lines.c", APP / "wire.c")
    compile_c(program, sources, *(options or ("-O2",)))
    return program


def target_sources(target: str) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """Return the C files and the options of a fuzz target, "decoder" or "app"."""
    if target == "decoder":
        return (C / "fuzz_decoder.c", APP / "wire.c"), ()
    firmware, model = firmware_dir(), REPOSITORY / "models" / "sim_biceps"
    # Acquisition has ports of its own.
    app = [path for path in sorted(APP.glob("*.c")) if path.name != "acquisition.c"]
    sources = (
        C / "fuzz_app.c",
        *app,
        *sorted((firmware / "engine").glob("*.c")),
        firmware / "drivers" / "stream_imu.c",
        model / "model_data.c",
    )
    return sources, (f"-I{firmware / 'engine'}", f"-I{firmware / 'drivers'}", f"-I{model}")


def compile_c(target: Path, sources: tuple[Path, ...], *options: str, compiler: str = "cc") -> None:
    """Compile C files of the tests with those of the firmware they need."""
    subprocess.run(
        [compiler, *WARNINGS, f"-I{APP}", f"-I{C}", *options, "-o", target, *sources], check=True
    )
