"""Measure what the monitor's history costs the processor: taking frames, giving views.

    python tools/bench_history.py

Ten minutes of four muscles and six raw channels at 1 kHz are taken, then windows are asked for.
"""

import time

import numpy as np

from made_up_log import BATCH, data_frames, identity_frame
from myowave.link import Identity
from myowave.live.history import History

MUSCLES = 4
FRAMES = 31_000  # a little over ten minutes: the ring has gone round
CALLS = 100


def filled(history: History) -> float:
    """Fill a history; return the seconds a frame has taken."""
    rng = np.random.default_rng(0)
    n = BATCH * FRAMES
    predictions = rng.integers(-128, 128, (n, MUSCLES)).astype(np.int8)
    counts = rng.integers(-32768, 32768, (n, 6)).astype(np.int16)
    frames = list(data_frames(predictions, counts))
    arrivals_s = 0.001 * BATCH * np.arange(1, FRAMES + 1) + rng.exponential(0.005, FRAMES)
    identity = identity_frame([f"muscle {i}" for i in range(MUSCLES)])
    history.begin(Identity.from_frame(identity))
    began = time.process_time()
    for frame, host_s in zip(frames, arrivals_s.tolist(), strict=True):
        history.on_frame(frame, host_s)
    return (time.process_time() - began) / FRAMES


def main() -> None:
    """Measure and print."""
    history = History()
    print(f"a frame of {BATCH} samples     {1e6 * filled(history):.0f} us")
    for window_s, bins in ((2.0, 1000), (10.0, 1000), (15.0, 1000), (60.0, 1000), (60.0, 2000)):
        began = time.process_time()
        for _ in range(CALLS):
            history.view(history.newest_s - window_s, history.newest_s, bins)
        took_ms = 1e3 * (time.process_time() - began) / CALLS
        print(f"{window_s:2.0f} s in {bins} bins        {took_ms:.2f} ms")


if __name__ == "__main__":
    main()
