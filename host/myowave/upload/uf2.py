"""Checks a UF2 file before a bootloader gets it. Format: github.com/microsoft/uf2."""

import struct
from itertools import pairwise
from pathlib import Path

from myowave.errors import ToolError

_BLOCK = struct.Struct("<8I476sI")
_MAGIC = (0x0A324655, 0x9E5D5157, 0x0AB16F30)
_HAS_FAMILY = 0x2000


def read_uf2(content: bytes, name: str) -> tuple[int, list[tuple[int, bytes]]]:
    """Return family and (address, payload) of each block of a UF2 file.

    Parameters
    ----------
    content : bytes
        Of the file.
    name : str
        For messages.

    Raises
    ------
    ToolError
        If it is no whole UF2 file of one family with blocks that do not overlap.
    """
    if not content or len(content) % _BLOCK.size:
        raise ToolError(f"{name}: {len(content)} bytes, expected whole UF2 blocks of 512")
    families = set()
    parts = []
    count = len(content) // _BLOCK.size
    for number, block in enumerate(_BLOCK.iter_unpack(content)):
        first, second, flags, address, size, at, total, family, payload, last = block
        if (first, second, last) != _MAGIC or size > len(payload):
            raise ToolError(f"{name}: block {number} is no UF2 block")
        if (at, total) != (number, count):
            raise ToolError(
                f"{name}: block {number} says it is {at} of {total}, expected {number} of {count}"
            )
        families.add(family if flags & _HAS_FAMILY else 0)
        parts.append((address, payload[:size]))
    if len(families) != 1:
        raise ToolError(f"{name}: blocks of {len(families)} families, expected one")
    for (before, payload), (address, _) in pairwise(sorted(parts)):
        if address < before + len(payload):
            raise ToolError(f"{name}: two blocks for address {address:#x}")
    return families.pop(), parts


def require_family(path: Path, family: int) -> None:
    """Raise ToolError unless `path` is a UF2 file that a bootloader of `family` takes."""
    found, _ = read_uf2(path.read_bytes(), str(path))
    if found != family:
        raise ToolError(f"{path}: UF2 family {found:#010x}, expected {family:#010x}")
