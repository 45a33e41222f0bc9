"""What is plugged in: serial ports with their USB ids, drives of UF2 bootloaders."""

import os
import re
import string
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from serial.tools import list_ports
from serial.tools.list_ports_common import ListPortInfo

from myowave.errors import ConfigError, LinkError
from myowave.upload.table import Upload, matches

INFO_FILE = "INFO_UF2.TXT"


@dataclass(frozen=True)
class Port:
    """One serial port.

    Attributes
    ----------
    device, description : str
    usb_id : str
        "VVVV:PPPP" in upper case, "" when it is not on USB.
    serial_number : str
        Of the USB device, "" when it has none.
    """

    device: str
    description: str
    usb_id: str
    serial_number: str

    @classmethod
    def of(cls, info: ListPortInfo) -> "Port":
        """Take over what pyserial says of a port."""
        usb_id = f"{info.vid:04X}:{info.pid:04X}" if info.vid is not None else ""
        description = info.description if info.description not in (None, "n/a") else info.device
        return cls(info.device, description, usb_id, info.serial_number or "")

    def __str__(self) -> str:
        """Device and what is there."""
        return f"{self.device} ({self.usb_id})" if self.usb_id else self.device


@dataclass(frozen=True)
class Drive:
    """A mounted drive of a UF2 bootloader.

    Attributes
    ----------
    path : Path
        Where it is mounted.
    board_id : str
        From its INFO_UF2.TXT.
    """

    path: Path
    board_id: str

    def __str__(self) -> str:
        """Path and board."""
        return f"{self.path} ({self.board_id})"


def ports() -> list[Port]:
    """Return the serial ports of this computer."""
    return [Port.of(info) for info in sorted(list_ports.comports())]


def drives(mounts: Iterable[Path] | None = None) -> list[Drive]:
    """Return the UF2 drives among `mounts`, by default everything mounted on this computer."""
    found = (read_drive(path) for path in (_mounts() if mounts is None else mounts))
    return [drive for drive in found if drive is not None]


def read_drive(path: Path) -> Drive | None:
    """Return the UF2 drive mounted at `path`, or None when it is none."""
    try:
        text = (path / INFO_FILE).read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    board = re.search(r"^Board-ID:\s*(\S+)", text, re.MULTILINE)
    return Drive(path, board[1] if board else "")


def _mounts() -> list[Path]:
    if sys.platform == "win32":
        return [Path(f"{letter}:\\") for letter in string.ascii_uppercase[2:]]
    if sys.platform == "darwin":
        return sorted(Path("/Volumes").glob("*"))
    # Blanks in a path are octal there: proc(5), fstab(5).
    with Path("/proc/self/mounts").open(encoding="utf-8") as table:
        fields = [line.split()[:3] for line in table]
    return [
        Path(re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), where))
        for _, where, kind in fields
        if kind in ("vfat", "msdos", "fuseblk", "exfat")
    ]


def find_drive(upload: Upload, there: Sequence[Drive], named: Path | None) -> Drive | None:
    """Return the drive to copy to, or None when the board shows none.

    Parameters
    ----------
    upload : Upload
        A board with `uf2_board_ids`.
    there : sequence of Drive
        What is mounted.
    named : Path or None
        The drive the user named.

    Raises
    ------
    ConfigError
        If the named drive is another board's or none, or several are there and none is named.
    """
    if named is not None:
        drive = read_drive(named)
        if drive is None:
            raise ConfigError(
                f"{named}: holds no {INFO_FILE}, expected the drive of a UF2 bootloader; "
                f"{upload.find}"
            )
        if drive.board_id not in upload.uf2_board_ids:
            raise ConfigError(
                f"{named}: the drive of board '{drive.board_id}', expected "
                f"{' or '.join(upload.uf2_board_ids)} for {upload.name}"
            )
        return drive
    fitting = [drive for drive in there if drive.board_id in upload.uf2_board_ids]
    if len(fitting) > 1:
        raise ConfigError(
            f"{len(fitting)} drives of {upload.title} are there: "
            f"{', '.join(str(drive.path) for drive in fitting)}; name one by --drive"
        )
    return fitting[0] if fitting else None


def is_port_of(upload: Upload, port: Port) -> bool:
    """Say whether a port is one the board's firmware answers at."""
    return matches(port.usb_id, upload.port_ids)


def find_port(
    upload: Upload, there: Sequence[Port], named: str | None, *, bootloader: bool = False
) -> Port | None:
    """Return the board's serial port, or None when it shows none.

    Parameters
    ----------
    upload : Upload
    there : sequence of Port
        What is plugged in.
    named : str or None
        The port the user named; taken as it is, also when it is not on USB.
    bootloader : bool
        Also take the port of the board's bootloader.

    Raises
    ------
    ConfigError
        If several are there and none is named.
    """
    if named is not None:
        return next((port for port in there if port.device == named), Port(named, named, "", ""))
    ids = upload.port_ids + (upload.bootloader_ids if bootloader else ())
    fitting = [port for port in there if matches(port.usb_id, ids)]
    if len(fitting) > 1:
        raise ConfigError(
            f"{len(fitting)} ports fit {upload.title}: "
            f"{', '.join(str(port) for port in fitting)}; name one by --port"
        )
    return fitting[0] if fitting else None


def nothing_found(upload: Upload, ports: Sequence[Port], drives: Sequence[Drive]) -> LinkError:
    """Return the error for a board that is not there: what was looked for, what to do."""
    looked = []
    if upload.uf2_board_ids:
        looked.append(f"a drive of {' or '.join(upload.uf2_board_ids)}")
    if upload.port_ids or upload.bootloader_ids:
        looked.append(f"USB ids {', '.join(upload.port_ids + upload.bootloader_ids)}")
    there = [str(port) for port in ports] + [str(drive) for drive in drives]
    return LinkError(
        f"no {upload.title} found: looked for {' and '.join(looked)}, "
        f"there is {', '.join(there) or 'nothing'}; {upload.find}"
    )


def may_write(path: Path) -> bool:
    """Say whether this user may create files in a folder."""
    return os.access(path, os.W_OK | os.X_OK)
