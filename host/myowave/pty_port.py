"""A pseudo-terminal as a board's serial port, and the symbolic link that names it."""

import contextlib
import os
import tty
from pathlib import Path

from myowave.errors import LinkError


class Pty:
    """A pseudo-terminal in raw mode; a context manager.

    Attributes
    ----------
    port : str
        Path of the terminal, which a program opens as a serial port.
    controller : int
        Descriptor of the board's end.
    terminal : int
        Descriptor of the port's end; -1 after `release`.
    """

    def __init__(self) -> None:
        self.controller, self.terminal = os.openpty()
        tty.setraw(self.terminal)
        self.port = os.ttyname(self.terminal)

    def release(self) -> None:
        """Close the port's end here: the controller then polls as hung up while no one has it."""
        if self.terminal >= 0:
            os.close(self.terminal)
            self.terminal = -1

    def close(self) -> None:
        """Close both ends; the port is gone."""
        self.release()
        if self.controller >= 0:
            os.close(self.controller)
            self.controller = -1

    def __enter__(self) -> "Pty":
        """Return the pseudo-terminal."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close both ends."""
        self.close()


def refuse_taken(link: Path) -> None:
    """Raise LinkError unless `link` is free, or points to a port that is no more."""
    if link.exists() and link.is_symlink():
        raise LinkError(
            f"{link}: points to {link.readlink()}, which exists, perhaps another board's port; "
            "end that one or name a free path"
        )
    if link.exists():
        raise LinkError(f"{link}: exists, expected a free path")


def put_link(link: Path, port: str) -> None:
    """Make `link` point to `port`; only what a killed board left behind makes way.

    Raises
    ------
    LinkError
        If the path is taken or the link cannot be made.
    """
    try:
        link.parent.mkdir(parents=True, exist_ok=True)
        refuse_taken(link)
        link.unlink(missing_ok=True)
        link.symlink_to(port)
    except OSError as error:
        raise LinkError(f"{link}: cannot put a link there ({error.strerror})") from error


def remove_link(link: Path, target: str) -> None:
    """Remove `link` if it still points to `target`."""
    with contextlib.suppress(OSError):
        if str(link.readlink()) == target:
            link.unlink()
