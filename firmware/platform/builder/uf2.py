"""UF2 files: what a bootloader that shows itself as a drive takes.

Format: https://github.com/microsoft/uf2, blocks of 512 bytes that each say where 256 bytes go.
"""

import struct

MAGIC_BEGIN = (0x0A324655, 0x9E5D5157)
MAGIC_END = 0x0AB16F30
FAMILY_PRESENT = 0x2000
PAYLOAD = 256


def uf2(image: bytes, address: int, family: int) -> bytes:
    """Return the UF2 file that writes `image` to `address` of a chip of `family`."""
    parts = [image[at : at + PAYLOAD] for at in range(0, len(image), PAYLOAD)]
    blocks = []
    for number, part in enumerate(parts):
        head = (
            *MAGIC_BEGIN,
            FAMILY_PRESENT,
            address + number * PAYLOAD,
            PAYLOAD,
            number,
            len(parts),
            family,
        )
        data = part.ljust(PAYLOAD, b"\0").ljust(476, b"\0")
        blocks.append(struct.pack("<8I476sI", *head, data, MAGIC_END))
    return b"".join(blocks)
