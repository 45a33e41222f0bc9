"""Builds: every environment, without the registry, and what is and is not in the images."""

import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from myowave.cli import main
from myowave.compiler import compile_tflite
from myowave.errors import ConfigError, ModelError, ToolError
from myowave.firmware import board_by_name, boards, build_firmware
from myowave.link import Device
from myowave.model_card import load_card
from myowave.paths import REPOSITORY, firmware_dir
from myowave.wire import Decoder, Frame, encode_frame
from tests.firmware.models import expected

CORTEX = [name for name, board in boards().items() if board.toolchain == "arm-none-eabi-"]


@pytest.fixture(scope="session")
def setup_platformio() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "setup_platformio", REPOSITORY / "tools" / "setup_platformio.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_pio_run_needs_no_registry_and_reports_sizes(setup_platformio, model, tmp_path):
    """A fresh core directory, no network, no home: an ELF file and its sizes all the same."""
    core = tmp_path / "core"
    setup_platformio.prepare(core)
    environment = {
        **os.environ,
        "PLATFORMIO_CORE_DIR": str(core),
        "PLATFORMIO_BUILD_DIR": str(tmp_path / "build"),
        "PLATFORMIO_WORKSPACE_DIR": str(tmp_path / "workspace"),
        "HOME": str(tmp_path),
        "MYOWAVE_MODEL": str(model),
        # Whoever tries the network gets an error at once.
        **dict.fromkeys(("http_proxy", "https_proxy", "HTTPS_PROXY"), "http://127.0.0.1:9"),
    }
    result = subprocess.run(
        [sys.executable, "-m", "platformio", "run", "-d", REPOSITORY, "-e", "cortex_m4"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert (tmp_path / "build" / "cortex_m4" / "program.elf").is_file()
    assert re.search(r"RAM: .*used \d+ bytes", result.stdout)
    assert re.search(r"Flash: .*used \d+ bytes", result.stdout)


def test_setting_up_twice_changes_nothing(setup_platformio, tmp_path):
    setup_platformio.prepare(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    setup_platformio.prepare(tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_platformio_knows_every_board():
    text = (REPOSITORY / "platformio.ini").read_text()
    assert set(re.findall(r"^\[env:(\w+)\]", text, re.MULTILINE)) == boards().keys()


def symbols(image: Path) -> dict[str, str]:
    """Return name and type letter of every symbol of an image."""
    output = subprocess.run(
        ["arm-none-eabi-nm", image], capture_output=True, text=True, check=True
    ).stdout
    return {line.split()[-1]: line.split()[-2] for line in output.splitlines()}


@pytest.mark.parametrize("name", CORTEX)
def test_images_hold_no_heap_and_no_floating_point_arithmetic(model, name):
    found = symbols(build_firmware(board_by_name(name), model))
    assert {"main", "mw_app_run_once", "mw_engine_step"} <= found.keys()
    heap = {"malloc", "_malloc_r", "free", "_free_r", "_sbrk", "calloc", "realloc", "printf"}
    assert not heap & found.keys()
    # Cortex-M3 has no FPU: any float operation would show as a helper of the compiler's library.
    helpers = [name for name in found if re.match(r"__aeabi_[fd](?!iv)|__\w+[sd]f[23]$", name)]
    assert helpers == []


@pytest.mark.parametrize("name", CORTEX)
def test_images_fit_a_small_board(model, name):
    """Flash and RAM of a bare-metal image for R, the emulated IMU's FIFO (13 KB) left out."""
    output = subprocess.run(
        ["arm-none-eabi-size", "-A", "-d", build_firmware(board_by_name(name), model)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    sizes = {
        line.split()[0]: int(line.split()[1])
        for line in output.splitlines()
        if line.startswith(".")
    }
    flash = sum(sizes.get(s, 0) for s in (".vectors", ".text", ".rodata", ".ARM.exidx", ".data"))
    fifo = 1024 * (6 * 2 + 1)
    assert flash <= 96 * 1024
    assert sizes.get(".data", 0) + sizes[".bss"] + sizes[".stack"] - fifo <= 32 * 1024


def test_an_image_is_built_once(model):
    board = board_by_name("native")
    image = build_firmware(board, model)
    before = image.stat().st_mtime_ns
    assert build_firmware(board, model) == image
    assert image.stat().st_mtime_ns == before


def test_the_image_is_of_the_tflite_whatever_tables_lie_beside_it(model, tmp_path):
    """Tables with lines missing compile all the same and bear the right SHA-256."""
    native = board_by_name("native")
    image = build_firmware(native, model)
    other = shutil.copytree(model, tmp_path / "model")
    tables = other / "model_data.c"
    lines = tables.read_text().splitlines()
    del lines[20:30]
    tables.write_text("\n".join(lines))
    assert build_firmware(native, other) == image
    tables.write_text("this is not C\n")
    assert build_firmware(native, other) == image
    tables.unlink()
    (other / "model_data.h").unlink()
    assert build_firmware(native, other) == image


def test_a_damaged_card_is_refused_before_anything_is_built(model, tmp_path, capsys):
    for name, change in {
        "absent": lambda text: None,
        "cut": lambda text: text[:-20],
        "muscles": lambda text: text.replace('"muscle 0"', '"a", "b"'),
        "sha": lambda text: re.sub(r'("tflite_sha256": ")\w', r"\g<1>x", text),
    }.items():
        other = shutil.copytree(model, tmp_path / name)
        text = change((other / "model.json").read_text())
        (other / "model.json").unlink()
        if text is not None:
            (other / "model.json").write_text(text)
        with pytest.raises(ModelError, match=str(other)):
            build_firmware(board_by_name("native"), other)
        assert main(["flash", "native", "--model", str(other)]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.count("\n") == 1


def test_a_failing_build_is_an_error_with_its_reason(model, monkeypatch, tmp_path):
    compiler = tmp_path / "gcc"
    compiler.write_text("#!/bin/sh\necho 'app.c:1:1: error: no space left' >&2\nexit 1\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr("myowave.firmware.build_dir", lambda *parts: tmp_path)
    with pytest.raises(ToolError, match=r"building for native failed: .*app\.c:1:1: error"):
        build_firmware(board_by_name("native"), model)


def test_tables_without_a_card_do_not_compile_into_the_firmware(model, tmp_path):
    """Plain `pio run` takes the tables as they are."""
    compile_tflite((model / "model.tflite").read_bytes(), tmp_path)
    folders = (tmp_path, *(firmware_dir() / part for part in ("app", "engine")))
    result = subprocess.run(
        [
            *("cc", "-fsyntax-only", *(f"-I{folder}" for folder in folders)),
            firmware_dir() / "app" / "pipeline.c",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "the firmware needs a model compiled with its card" in result.stderr


def test_a_missing_compiler_is_named(model, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("myowave.firmware.build_dir", lambda *parts: tmp_path)
    with pytest.raises(ToolError, match=r"arm-none-eabi-gcc not found.*install gcc-arm-none-eabi"):
        build_firmware(board_by_name("cortex_m4"), model)


def test_a_board_may_be_named_as_its_core_is():
    assert board_by_name("cortex-m4") == board_by_name("cortex_m4")


def test_unknown_board():
    with pytest.raises(ConfigError, match="unknown board 'uno', expected one of cortex_m0plus"):
        board_by_name("uno")


# ---- the firmware under address and undefined behaviour sanitizers -------------------------------


class Sanitized:
    """The `native` board's process with both lines in the test's hands."""

    def __init__(self, image: Path, *options: str) -> None:
        self.serial, serial_far = socket.socketpair()
        self.imu, imu_far = socket.socketpair()
        self.process = subprocess.Popen(
            [
                *(image, "--serial", str(serial_far.fileno()), "--imu", str(imu_far.fileno())),
                *options,
            ],
            pass_fds=(serial_far.fileno(), imu_far.fileno()),
            stderr=subprocess.PIPE,
        )
        serial_far.close()
        imu_far.close()
        self.serial.settimeout(10)
        self.decoder = Decoder()

    def ask(self, encoded: bytes, answer: str):
        self.serial.sendall(encoded)
        while True:
            for frame in self.decoder.feed(self.serial.recv(65536)):
                if frame.name == answer:
                    return frame

    def drain(self) -> None:
        self.serial.setblocking(False)
        try:
            while self.serial.recv(65536):
                pass
        except BlockingIOError:
            pass
        self.serial.settimeout(10)

    def close(self) -> bytes:
        """Close the IMU link, at which the board ends; return what the sanitizers said."""
        self.imu.close()
        _, said = self.process.communicate(timeout=10)
        self.serial.close()
        assert self.process.returncode == 0, said.decode()
        return bytes(said)


def spoiled(rng: np.random.Generator, names: tuple[str, ...]) -> bytes:
    """Return a frame of some type, or nearly, or garbage."""
    kind = rng.integers(5)
    if kind == 0:
        return rng.bytes(int(rng.integers(1, 3000)))
    if kind == 1:
        # A right checksum around a payload of any type and length.
        import struct
        import zlib

        from cobs import cobs

        body = bytes([rng.integers(256)]) + rng.bytes(int(rng.integers(2, 515)))
        if rng.random() < 0.7:
            body = bytes([rng.choice([0x41, 0x44, 0x46, 0x48, 0x49, 0x60, 0x61, 0x62])]) + body[1:]
        encoded: bytes = cobs.encode(body + struct.pack("<I", zlib.crc32(body)))
        return b"\0" + encoded + b"\0"
    values: dict[str, dict[str, Any]] = {
        "imu_describe": {"acc_lsb_m_s2": 1.0, "gyro_lsb_rad_s": 1.0, "imu": "x" * 40},
        "imu_samples": {
            "play": 0,
            "first": int(rng.integers(1 << 32)),
            "count": 4,
            "counts": [[1] * 6] * 4,
        },
        "imu_end": {"play": 0, "total": (1 << 32) - 1},
        "replay_samples": {"first": 0, "count": 2, "counts": [[-32768] * 6] * 2},
        "set_raw": {"on": int(rng.integers(3))},
        "ping": {"token": 1},
    }
    name = str(rng.choice(names))
    frame = bytearray(encode_frame(name, int(rng.integers(65536)), **values.get(name, {})))
    if kind == 2:
        frame[rng.integers(len(frame))] ^= 1 << rng.integers(8)
    return bytes(frame)


@pytest.mark.parametrize("seed", range(3))
def test_no_bytes_on_either_line_break_the_board(model, seed):
    image = build_firmware(board_by_name("native"), model, sanitize=True)
    rng = np.random.default_rng(seed)
    board = Sanitized(image, "--virtual-clock")
    commands = ("identify", "start", "stop", "set_raw", "reset_counters", "ping", "replay",
                "get_statistics", "replay_samples")  # fmt: skip
    for _ in range(2000):
        board.serial.sendall(spoiled(rng, commands))
        board.imu.sendall(spoiled(rng, ("imu_describe", "imu_samples")))
        board.drain()
    statistics = board.ask(b"\0" + encode_frame("get_statistics", 0), "statistics")
    assert board.ask(encode_frame("ping", 1, token=77), "pong")["token"] == 77
    assert statistics["rx_frames"] > 0
    assert board.close() == b""


def test_an_imu_that_goes_silent_and_comes_back(model):
    """Real time: held back ticks are missed at last, and the clock goes on without them."""
    board = Sanitized(build_firmware(board_by_name("native"), model, sanitize=True))
    card = load_card(model)
    lsb = {"acc_lsb_m_s2": 1.0, "gyro_lsb_rad_s": 1.0}
    board.imu.sendall(encode_frame("imu_describe", 0, imu=card.imu, **lsb))

    def feed(first: int, count: int) -> None:
        for at in range(first, first + count, 10):
            values = np.full((10, 6), at)
            board.imu.sendall(
                encode_frame("imu_samples", 0, play=0, first=at, count=10, counts=values)
            )

    feed(0, 110)
    credits = Decoder()
    while len(credits.feed(board.imu.recv(4096))) == 0:
        pass
    assert board.ask(encode_frame("start", 0), "acknowledge")["status"] == 0
    seen = 0
    while seen < 110:  # the last ten are no full batch: they are sent without waiting for more
        seen += board.ask(b"", "data")["count"]
    while (missed := board.ask(encode_frame("get_statistics", 0), "statistics")["missed"]) == 0:
        pass
    # Well ahead of the board's clock, which the newest credit tells.
    at = credits.feed(board.imu.recv(65536))[-1]["next"] + 500
    feed(at, 30)
    frame = board.ask(b"", "data")
    assert (frame["first_tick"], frame["gap_ticks"]) == (at, at - 110)
    assert frame["warm_up"] == frame["count"]
    assert missed <= at - 110
    assert board.close() == b""


def test_the_sanitizers_are_on(model):
    image = build_firmware(board_by_name("native"), model, sanitize=True)
    listed = subprocess.run(["nm", image], capture_output=True, text=True, check=True).stdout
    assert "__asan_report_load" in listed
    assert "__ubsan_handle" in listed


def test_the_sanitized_board_streams_and_replays(board, model, counts):
    with board(sanitize=True, missing=[(10, 20)]) as virtual, Device.open(virtual.port) as device:
        assert np.array_equal(device.replay(counts), expected(model, counts))
        device.set_raw(True)
        device.start()
        deadline = time.monotonic() + 30
        frames: list[Frame] = []
        while time.monotonic() < deadline and not any(f.name == "text" for f in frames):
            frames += device.frames(0.2)
        assert device.statistics().processed == 2 * len(counts) - 10
