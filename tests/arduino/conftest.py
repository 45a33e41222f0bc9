"""Sketches built by PlatformIO for the stand-in of the Arduino API, and run on a pty."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import numpy as np
import pytest
from numpy.typing import NDArray

from myowave.firmware import model_tables
from myowave.imu import IMUS
from myowave.paths import REPOSITORY
from myowave.pty_port import Pty
from tests.firmware.models import movement, write_model

# Only the platform is another: sources, include folders, flags and scripts are the environment's.
PROJECT = """\
[platformio]
extra_configs = platformio.ini

[env:{name}]
extends = env:{environment}
platform = symlink://tests/arduino/stand_in
board = stand_in
build_flags = ${{env:{environment}.build_flags}} {flags}
"""

# What a core says of itself, where the port asks.
CORE_FLAGS = {"nano33ble": "-DARDUINO_ARCH_MBED", "xiao_nrf52840_sense_usb": "-DLED_STATE_ON=0"}

Build = Callable[..., Path]
STAND_IN_CORE = REPOSITORY / "build" / "platformio"


def build_sketch(
    environment: str, model: Path, folder: Path, flags: str = "", *, sanitize: bool = False
) -> Path:
    """Build one Arduino environment of `platformio.ini` for the stand-in; return the program."""
    subprocess.run(
        [sys.executable, REPOSITORY / "tools" / "setup_platformio.py"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    project = folder / "project.ini"
    own = REPOSITORY / "firmware" / "ports" / "arduino" / "environments.ini"
    has_flags = "build_flags" in own.read_text().split(f"[env:{environment}]")[1].split("[env:")[0]
    flags = f"{CORE_FLAGS.get(environment, '')} {flags}"
    text = PROJECT.format(name=environment + "_stand_in", environment=environment, flags=flags)
    if not has_flags:
        text = text.replace(f"${{env:{environment}.build_flags}}", "")
    project.write_text(text)
    tables = folder / "model"
    tables.mkdir()
    for name, content in model_tables(model).items():
        (tables / name).write_text(content)
    result = subprocess.run(
        [
            *(sys.executable, "-m", "platformio", "run"),
            *("-d", REPOSITORY, "-c", project, "-e", environment + "_stand_in"),
        ],
        env={
            **os.environ,
            "PLATFORMIO_CORE_DIR": str(STAND_IN_CORE),
            "PLATFORMIO_BUILD_DIR": str(folder / "build"),
            "PLATFORMIO_WORKSPACE_DIR": str(folder / "workspace"),
            "MYOWAVE_MODEL": str(tables),
            "MYOWAVE_SANITIZE": "1" if sanitize else "",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return folder / "build" / (environment + "_stand_in") / "program.elf"


@pytest.fixture(scope="session")
def models(tmp_path_factory) -> dict[str, Path]:
    """Model directory of the small reference network for each IMU."""
    folder = tmp_path_factory.mktemp("models")
    return {name: write_model(folder / name, "S", IMUS[name]) for name in IMUS}


@pytest.fixture(scope="session")
def build(models, tmp_path_factory) -> Build:
    """Build an environment once: (environment, IMU, flags, sanitize) to program."""
    made: dict[tuple[object, ...], Path] = {}

    def make(
        environment: str, imu: str = "icm-42688-p", flags: str = "", *, sanitize: bool = False
    ) -> Path:
        key = (environment, imu, flags, sanitize)
        if key not in made:
            folder = tmp_path_factory.mktemp(environment)
            made[key] = build_sketch(environment, models[imu], folder, flags, sanitize=sanitize)
        return made[key]

    return make


@pytest.fixture(scope="session")
def recording(tmp_path_factory) -> tuple[Path, NDArray[np.int16]]:
    """Movement around 1 g, acc z another in each row: the file and its counts."""
    counts = movement(2500, seed=3)
    counts[:, :2] //= 32
    counts[:, 2] = 3000 + np.arange(2500) * 1777 % 2503
    assert len(np.unique(counts[:, 2])) == len(counts)
    path = tmp_path_factory.mktemp("recording") / "counts.bin"
    path.write_bytes(counts.astype("<i2").tobytes())
    return path, counts


class Sketch:
    """A running sketch: its serial port, and a hand on the IMU's wires."""

    def __init__(self, program: Path, **options: object) -> None:
        self._pty = Pty()
        self.port = self._pty.port
        self._hand, far = socket.socketpair()
        self._hand.settimeout(20)
        arguments = {"serial": self._pty.controller, "control": far.fileno(), **options}
        self._process = subprocess.Popen(
            [
                str(program),
                *(
                    word
                    for name, value in arguments.items()
                    for word in (f"--{name.replace('_', '-')}", str(value))
                ),
            ],
            pass_fds=(self._pty.controller, far.fileno()),
            stderr=subprocess.PIPE,
            text=True,
        )
        far.close()
        self._pty.release()
        self._said = b""

    def __enter__(self) -> "Sketch":
        """Return the sketch."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Switch the board off; what a sanitizer said is an error."""
        died = self._process.poll()
        self._process.terminate()
        _, said = self._process.communicate(timeout=20)
        self._pty.close()
        self._hand.close()
        assert (died, said) == (None, ""), said

    def do(self, what: str) -> None:
        """Have something happen to the IMU; see stand_in/core/bench.cpp."""
        self._hand.sendall(what.encode() + b"\n")

    def light(self, count: int) -> list[bool]:
        """Return the next `count` changes of the light."""
        while self._said.count(b"\n") < count:
            self._said += self._hand.recv(4096)
        *lines, self._said = self._said.split(b"\n", count)
        return [line == b"light 1" for line in lines]
