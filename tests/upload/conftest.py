"""A board that answers, a drive that takes files, and a file for it."""

import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from myowave.upload.find import Drive, Port, read_drive
from myowave.virtual import VirtualBoard
from tests.firmware.models import IMU, write_model

PICO_FAMILY = 0xE48BFF56
MakeDrive = Callable[..., Drive]


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Path:
    """Model directory of the small reference network."""
    return write_model(tmp_path_factory.mktemp("model") / "small", "S")


@pytest.fixture(scope="session")
def other_model(tmp_path_factory) -> Path:
    """Model directory of another network."""
    return write_model(tmp_path_factory.mktemp("model") / "other", "R")


@pytest.fixture
def answering(model) -> Iterator[str]:
    """Serial port of a board that runs `model`."""
    at_rest = np.zeros((1000, 6), dtype=np.int16)
    with VirtualBoard(at_rest, IMU, model, "native", virtual_clock=True) as board:
        yield board.port


@pytest.fixture
def make_drive(tmp_path) -> MakeDrive:
    """Make a folder that looks like a bootloader's drive."""

    def make(name: str = "RPI-RP2", board_id: str = "RPI-RP2") -> Drive:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "INFO_UF2.TXT").write_text(
            f"UF2 Bootloader v3.0\r\nModel: a board\r\nBoard-ID: {board_id}\r\n"
        )
        drive = read_drive(folder)
        assert drive is not None
        return drive

    return make


def uf2(pages: int = 3, family: int = PICO_FAMILY) -> bytes:
    """Return a UF2 file, written after its specification."""
    return b"".join(
        struct.pack("<8I", 0x0A324655, 0x9E5D5157, 0x2000, 0x10000000 + 256 * n, 256, n, pages,
                    family)
        + bytes([n % 256]) * 256 + bytes(220) + struct.pack("<I", 0x0AB16F30)
        for n in range(pages)
    )  # fmt: skip


@pytest.fixture
def image(tmp_path) -> Path:
    """A UF2 file for a Pico."""
    path: Path = tmp_path / "firmware.uf2"
    path.write_bytes(uf2())
    return path


def pico(device: str, serial_number: str = "") -> Port:
    """Return a port with the USB id of a Pico."""
    return Port(device, "Pico", "2E8A:000A", serial_number)
