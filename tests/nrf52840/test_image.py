"""What the nRF52840 images hold and take: sizes, stack, UF2 file, places in memory."""

import re
import struct
import subprocess
from pathlib import Path

import pytest

from myowave.firmware import model_tables
from myowave.paths import build_dir
from sizes import CallGraph, Sizes, measure
from tests.firmware.models import write_model

BOARDS = ("nrf52840_dk", "xiao_nrf52840_sense")
# The UF2 bootloader with SoftDevice S140 7.3.0: the application begins at 0x27000; what is above
# 0x20008000, and the word at 0x20007F7C, is the bootloader's.
BOOTLOADER_FLASH = 0x27000
BOOTLOADER_RAM = 0x20007F7C
FAMILY = 0xADA52840


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> dict[str, Sizes]:
    """Sizes of both images with the reference network R, which leaves them under `folder`."""
    tables = model_tables(write_model(tmp_path_factory.mktemp("model") / "R"))
    return {board: measure(board, tables) for board in BOARDS}


def folder(board: str) -> Path:
    return build_dir("sizes") / "pio" / board


def symbols(board: str) -> dict[str, int]:
    listed = subprocess.run(
        ["arm-none-eabi-nm", folder(board) / "program.elf"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return {name: int(value, 16) for value, name in re.findall(r"^(\S+) \S (\S+)$", listed, re.M)}


@pytest.mark.parametrize("board", BOARDS)
def test_r_fits_in_96_kb_of_flash_and_32_kb_of_ram(reference, board):
    assert reference[board].flash <= 96 * 1024
    assert reference[board].ram <= 32 * 1024


def test_weights_and_tables_go_to_ram_when_asked(reference, tmp_path):
    """For a network the flash is too slow for: what the core reads is where it does not wait."""
    model = write_model(tmp_path / "R")
    sizes = measure("nrf52840_dk", model_tables(model, tables_in_ram=True))
    in_ram = symbols("nrf52840_dk")
    measure("nrf52840_dk", model_tables(model))
    in_flash = symbols("nrf52840_dk")
    moved = [name for name in in_flash if re.fullmatch(r"(weights|rows)_\d+|tables", name)]
    assert len(moved) > 20
    assert all(in_flash[name] < 0x100000 for name in moved)
    assert all(0x20000000 <= in_ram[name] < 0x20040000 for name in moved)
    assert sizes.ram - reference["nrf52840_dk"].ram > 40_000
    assert sizes.flash - reference["nrf52840_dk"].flash < 1000


@pytest.mark.parametrize("board", BOARDS)
def test_the_stack_holds_the_deepest_calls(reference, board):
    """Main program and one interrupt of each priority; nothing is recursive."""
    assert 1000 < reference[board].stack_bound <= reference[board].stack


def test_the_stack_s_bound_is_that_of_the_deepest_calls():
    report = """graph: { title: "a.c"
node: { title: "main" label: "main\\na.c:1:1\\n8 bytes (static)" }
node: { title: "a.c:leaf" label: "leaf\\na.c:2:1\\n100 bytes (static)" }
node: { title: "handler" label: "handler\\na.c:3:1\\n40 bytes (dynamic,bounded)" }
node: { title: "absent" label: "absent\\na.c:4:1\\n900 bytes (static)" }
edge: { sourcename: "main" targetname: "__indirect_call" label: "a.c:1:2" }
edge: { sourcename: "handler" targetname: "a.c:leaf" label: "a.c:3:2" }
"""
    graph = CallGraph([report], {"main", "leaf", "handler"})
    # `handler` is what nobody calls by name, so the pointer may be to it.
    assert graph.deepest("main") == (148, ("main", "handler", "leaf"))
    again = report + 'edge: { sourcename: "a.c:leaf" targetname: "handler" }\n'
    again += 'edge: { sourcename: "main" targetname: "handler" }\n'
    with pytest.raises(RecursionError, match="can call itself"):
        CallGraph([again], {"main", "leaf", "handler"}).deepest("main")


def test_the_uf2_file_is_the_image_where_the_bootloader_wants_it(reference):
    content = (folder(BOARDS[1]) / "program.uf2").read_bytes()
    image = (folder(BOARDS[1]) / "program.bin").read_bytes()
    blocks = [content[at : at + 512] for at in range(0, len(content), 512)]
    written = b""
    for number, block in enumerate(blocks):
        magic, second, flags, address, size, index, count, family = struct.unpack_from("<8I", block)
        assert (magic, second) == (0x0A324655, 0x9E5D5157)
        assert block[-4:] == struct.pack("<I", 0x0AB16F30)
        assert flags == 0x2000  # a family is named
        assert (index, count, family) == (number, len(blocks), FAMILY)
        assert address == BOOTLOADER_FLASH + len(written)
        written += block[32 : 32 + size]
    assert written[: len(image)] == image
    assert set(written[len(image) :]) <= {0}
    assert not (folder(BOARDS[0]) / "program.uf2").exists()


def test_what_is_kept_over_a_reset_is_out_of_the_bootloader_s_reach(reference):
    found = symbols(BOARDS[1])
    stack, entry = struct.unpack_from("<2I", (folder(BOARDS[1]) / "program.bin").read_bytes())
    assert stack == found["mw_stack_top"]
    assert entry == found["mw_reset"] | 1
    assert entry > BOOTLOADER_FLASH
    assert found["kept"] + 64 < BOOTLOADER_RAM
    # Variables lie above the stack: an overflow reaches none of them.
    assert found["mw_stack_top"] <= found["mw_data_begin"]
