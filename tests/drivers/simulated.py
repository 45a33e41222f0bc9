"""The `simulated` board run from a script: hours of virtual time, and what it sent."""

import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myowave.wire import Decoder, Encoder, Frame

G_COUNTS = 4096
ROWS_PER_MS = 5  # of the movement: no IMU here samples faster than that
START_S = 1.0


def noisy_movement(rows: int, seed: int = 0) -> NDArray[np.int16]:
    """Return (rows, 6) counts like a still sensor's with strong noise: no two rows are alike in any
    axis more often than by chance, and row 0 is plausible gravity.
    """
    rng = np.random.default_rng(seed)
    counts = rng.integers(-2000, 2001, (rows, 6)).astype(np.int16)
    counts[:, 2] += G_COUNTS
    counts[0] = (10, -20, G_COUNTS, 1, 2, 3)
    return counts


@dataclass
class Script:
    """Events of ports/simulated/script.h; in any order."""

    events: list[tuple[float, str]] = field(default_factory=list)
    _encoder: Encoder = field(default_factory=Encoder)

    def send(self, at_s: float, name: str, **values: Any) -> None:
        """Add a frame from the host."""
        self.events.append((at_s, f"send {self._encoder.encode(name, **values).hex()}"))

    def add(self, at_s: float, event: str, argument: int | None = None) -> None:
        """Add a fault, or `end`."""
        self.events.append((at_s, event if argument is None else f"{event} {argument}"))

    def sample(self, seconds: float) -> None:
        """Sample with raw counts from START_S on, ask for the counters, end."""
        self.send(START_S - 0.1, "set_raw", on=1)
        self.send(START_S, "start")
        self.send(START_S + seconds, "stop")
        self.add(START_S + seconds + 0.5, "end")

    def text(self) -> str:
        """Return the file."""
        return "".join(f"{at_s:.9f} {event}\n" for at_s, event in sorted(self.events))


@dataclass
class Run:
    """What a board sent.

    Attributes
    ----------
    frames : list of Frame
        All of them, in order.
    counts, predictions : (n, 6) int16 array, (n, outputs) int8 array
        Of every delivered sample.
    tick, time_us : (n,) arrays
        Of every delivered sample; times within a frame follow from its first.
    """

    frames: list[Frame]
    errors: int
    counts: NDArray[np.int16]
    predictions: NDArray[np.int8]
    tick: NDArray[np.int64]
    time_us: NDArray[np.int64]

    @property
    def statistics(self) -> dict[str, Any]:
        """The last counters."""
        return [frame for frame in self.frames if frame.name == "statistics"][-1].fields

    @property
    def texts(self) -> list[str]:
        """The lines for people."""
        return [frame["text"] for frame in self.frames if frame.name == "text"]


def run(image: Path, folder: Path, counts: NDArray[np.int16], script: Script, *options: str) -> Run:
    """Run the board until its script ends; `options` are those of ports/simulated/main.c."""
    (folder / "counts").write_bytes(counts.astype("<i2").tobytes())
    (folder / "script").write_text(script.text())
    command: list[str | Path] = [
        *(image, "--counts", folder / "counts", "--rate", str(1000 * ROWS_PER_MS), "--loop"),
        *("--script", folder / "script", "--output", folder / "output"),
    ]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return read((folder / "output").read_bytes())


def read(sent: bytes) -> Run:
    """Decode what a board sent."""
    decoder = Decoder()
    frames = list(decoder.feed(sent))
    data = [frame for frame in frames if frame.name == "data"]
    outputs = data[0]["outputs"] if data else 1
    sizes = np.array([frame["count"] for frame in data], np.int64)
    within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    first_tick = np.array([frame["first_tick"] for frame in data], np.int64)
    first_us = np.array([frame["time_us"] for frame in data], np.int64)
    return Run(
        frames,
        decoder.crc_errors + decoder.malformed,
        np.concatenate([np.empty((0, 6), np.int16), *(frame["counts"] for frame in data)]),
        np.concatenate([np.empty((0, outputs), np.int8), *(f["predictions"] for f in data)]),
        np.repeat(first_tick, sizes) + within,
        np.repeat(first_us, sizes) + within * 1000,
    )
