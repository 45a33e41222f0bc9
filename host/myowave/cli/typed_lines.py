"""What a person types into the terminal while a command runs."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_RETRY_S = 0.5


@contextmanager
def each_typed_line(take: Callable[[str], None]) -> Iterator[None]:
    """Call `take` from another thread with every line typed while the block runs, without its end.

    Where nobody can type, because the input is no terminal, nothing is read; in the background of a
    shell nothing is read until the command is in the foreground again.
    """
    if sys.stdin is None or not sys.stdin.isatty():
        yield
        return
    over = threading.Event()
    # A command in the background that reads from the terminal would be stopped by the system.
    foreground_only = getattr(signal, "SIGTTIN", None)
    before = signal.signal(foreground_only, signal.SIG_IGN) if foreground_only else None
    threading.Thread(target=_read, args=(take, over), name="typed lines", daemon=True).start()
    try:
        yield
    finally:
        over.set()
        if foreground_only:
            signal.signal(foreground_only, before)


def _read(take: Callable[[str], None], over: threading.Event) -> None:
    # Not through sys.stdin: its lock, held while waiting, would keep the program from ending.
    with os.fdopen(sys.stdin.fileno(), "rb", buffering=0, closefd=False) as typed:
        while not over.is_set():
            try:
                line = typed.readline()
            except OSError:
                over.wait(_RETRY_S)
                continue
            if not line or over.is_set():
                return
            take(line.decode(errors="replace").strip())
