"""Run a session in a thread of its own while a view has the main one."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from myowave.link import Identity
from myowave.live.session import Listener, Session

_POLL_S = 0.02


class RecordFromStart(Listener):
    """Begins a recording when the board answers for the first time, before its first sample."""

    def __init__(self, session: Session, path: Path) -> None:
        self._session = session
        self._path = path
        self._begun = False

    def on_identity(self, identity: Identity, host_s: float) -> None:
        """Begin; raises RecordingError, which ends the session, where the file cannot be used."""
        if not self._begun:
            self._begun = True
            self._session.start_recording(self._path)


@contextmanager
def followed(session: Session, stop: threading.Event) -> Iterator[None]:
    """Follow a board while the block runs; entered once the board has answered.

    `stop` ends the session, and is set when the session or the block ends.

    Raises
    ------
    MyowaveError
        What `Session.run` raises: before the block where the board cannot be reached, after it
        where the session failed meanwhile.
    """
    failures: list[BaseException] = []

    def run() -> None:
        try:
            session.run(stop)
        except BaseException as error:
            failures.append(error)
        finally:
            stop.set()

    thread = threading.Thread(target=run, name="session")
    thread.start()
    try:
        while session.status().state == "opening" and not stop.wait(_POLL_S):
            pass
        if not failures:
            yield
    finally:
        stop.set()
        thread.join()
    if failures:
        raise failures[0]
