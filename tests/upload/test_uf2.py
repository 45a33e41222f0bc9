"""UF2 files: what is let through to a bootloader."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myowave.errors import ToolError
from myowave.upload.uf2 import read_uf2, require_family
from tests.upload.conftest import PICO_FAMILY, uf2


def test_a_whole_file_is_read():
    family, parts = read_uf2(uf2(3), "x")
    assert family == PICO_FAMILY
    assert [address for address, _ in parts] == [0x10000000, 0x10000100, 0x10000200]
    assert parts[2][1] == b"\x02" * 256


def test_another_boards_file_is_refused(tmp_path):
    path = tmp_path / "x.uf2"
    path.write_bytes(uf2(family=0xADA52840))
    require_family(path, 0xADA52840)
    with pytest.raises(ToolError, match="family 0xada52840, expected 0xe48bff56"):
        require_family(path, PICO_FAMILY)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "0 bytes"),
        (uf2()[:-1], "whole UF2 blocks"),
        (uf2(3)[512:], "it is 1 of 3, expected 0 of 2"),
        (uf2(1) + uf2(1), "0 of 1, expected 0 of 2"),
        (uf2(2)[:512] + uf2(2, family=1)[512:], "2 families"),
        (uf2(2)[:524] + uf2(2)[12:16] + uf2(2)[528:], "two blocks for address"),
        (bytes(512), "block 0 is no UF2 block"),
    ],
)
def test_a_damaged_file_is_refused(content, reason):
    with pytest.raises(ToolError, match=reason):
        read_uf2(content, "x")


@given(st.integers(0, 2 * 512 - 1), st.integers(1, 255))
def test_damage_to_what_frames_a_block_never_passes(at, change):
    content = bytearray(uf2(2))
    content[at] ^= change
    framing = at % 512 < 8 or 20 <= at % 512 < 28 or at % 512 >= 508
    if framing:
        with pytest.raises(ToolError):
            read_uf2(bytes(content), "x")
