"""A line between a board and this computer that stays while either end goes, and may be noisy."""

import os
import random
import select
import sys
import threading
import time
from collections.abc import Callable

from myowave.pty_port import Pty

Damage = Callable[[bytes], bytes]


def sound(data: bytes) -> bytes:
    """Pass everything on as it is."""
    return data


class Noise:
    """Damage to the bytes of a line, the same for the same seed and the same bytes.

    Parameters
    ----------
    seed : int
    per_byte : float
        Share of bytes that something happens to: a bit turned over, lost, doubled, zero, or noise
        put in before it.
    begin, end : int
        The bytes between which this is so; all others come through.
    """

    def __init__(self, seed: int, per_byte: float, begin: int = 0, end: int = sys.maxsize) -> None:
        self._rng = random.Random(seed)
        self._per_byte = per_byte
        self._noisy = range(begin, end)
        self._passed = 0

    def __call__(self, data: bytes) -> bytes:
        """Damage the next bytes."""
        rng = self._rng
        out = bytearray()
        for byte in data:
            self._passed += 1
            if self._passed not in self._noisy or rng.random() >= self._per_byte:
                out.append(byte)
                continue
            match rng.randrange(5):
                case 0:
                    out.append(byte ^ (1 << rng.randrange(8)))
                case 1:
                    pass
                case 2:
                    out += bytes([byte, byte])
                case 3:
                    out.append(0)
                case _:
                    out += rng.randbytes(rng.randrange(1, 40)) + bytes([byte])
        return bytes(out)


def nothing_but_noise(data: bytes) -> bytes:
    """Replace everything by as much noise."""
    return os.urandom(len(data))


class Bridge:
    """A USB bridge: its port stays while the board behind it is switched off and on.

    Attributes
    ----------
    port : str
        The port on this computer's side.
    damage : callable
        What becomes of the bytes from the board; may be changed at any time.
    """

    def __init__(self, damage: Damage = sound) -> None:
        self.damage = damage
        self._pty = Pty()
        self.port = self._pty.port
        self._board: int | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._pump, daemon=True)
        self._thread.start()

    def __enter__(self) -> "Bridge":
        """Return the bridge."""
        return self

    def __exit__(self, *error: object) -> None:
        """Take the port away."""
        self.close()

    def connect(self, port: str) -> None:
        """Connect a board."""
        self._board = os.open(port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)

    def disconnect(self) -> None:
        """Disconnect the board."""
        assert self._board is not None
        board, self._board = self._board, None
        time.sleep(0.1)
        os.close(board)

    def _pump(self) -> None:
        host = self._pty.controller
        while not self._stop.is_set():
            board = self._board
            lines = [host] if board is None else [host, board]
            for line in select.select(lines, [], [], 0.05)[0]:
                data = os.read(line, 4096)
                if line == host and self._board is not None:
                    os.write(self._board, data)
                elif line != host:
                    self._to_host(self.damage(data))

    def _to_host(self, data: bytes) -> None:
        """Write to a port that may take no more while nobody reads it."""
        while data and not self._stop.is_set():
            if select.select([], [self._pty.controller], [], 0.05)[1]:
                data = data[os.write(self._pty.controller, data[:256]) :]

    def close(self) -> None:
        """Take the port away."""
        self._stop.set()
        self._thread.join()
        if self._board is not None:
            os.close(self._board)
            self._board = None
        self._pty.close()
