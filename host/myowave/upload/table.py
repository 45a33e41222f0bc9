"""The real boards and how each is found and flashed: one table, `uploads.toml`."""

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

Way = Literal["uf2", "probe", "platformio"]
_TABLE = Path(__file__).with_name("uploads.toml")


@dataclass(frozen=True)
class Upload:
    """How one board is reached; `uploads.toml` says what each field means.

    Attributes
    ----------
    name : str
        PlatformIO environment.
    title : str
    way : {"uf2", "probe", "platformio"}
    find, note : str
    port_ids, bootloader_ids : tuple of str
        "VVVV:PPPP" in upper case; "VVVV:*" for any product.
    touch : bool
    uf2_board_ids : tuple of str
    uf2_family : int
    probe_target : str
    """

    name: str
    title: str
    way: Way
    find: str
    note: str = ""
    port_ids: tuple[str, ...] = ()
    bootloader_ids: tuple[str, ...] = ()
    touch: bool = False
    uf2_board_ids: tuple[str, ...] = ()
    uf2_family: int = 0
    probe_target: str = ""


@cache
def uploads() -> MappingProxyType[str, Upload]:
    """Return every board of the table, by name."""
    table = tomllib.loads(_TABLE.read_text(encoding="utf-8"))
    return MappingProxyType(
        {
            board: Upload(name=board, **{key: _frozen(value) for key, value in row.items()})
            for board, row in table.items()
        }
    )


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def board_of_usb_id(usb_id: str) -> Upload | None:
    """Return the board whose port or bootloader has this "VVVV:PPPP", if the table knows it."""
    for upload in uploads().values():
        if matches(usb_id, upload.port_ids + upload.bootloader_ids):
            return upload
    return None


def matches(usb_id: str, patterns: tuple[str, ...]) -> bool:
    """Say whether "VVVV:PPPP" is one of `patterns`."""
    return usb_id in patterns or f"{usb_id[:4]}:*" in patterns
