"""What commands share that put a board at a port of this computer and play something through it."""

import threading
from typing import Protocol

from myowave.cli.output import console


class PlayedBoard(Protocol):
    """A board that plays a recording or a log; see `VirtualBoard`, `ReplayedBoard`."""

    @property
    def ended(self) -> threading.Event:
        """Set when all has been played."""

    def wait(self, timeout_s: float | None = None) -> None:
        """Wait while the board runs; raise what has ended it."""


def run_until_stopped(board: PlayedBoard, stop: threading.Event, what: str) -> None:
    """Let a board run until `stop` is set, and tell once when `what` has been played to its end."""
    told = False
    while not stop.is_set():
        board.wait(0.1)
        if board.ended.is_set() and not told:
            console.print(f"the {what} has been played to its end")
            told = True
