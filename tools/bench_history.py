"""Measure what the monitor's history costs the processor: taking frames, giving views.

    python tools/bench_history.py

Ten minutes of four muscles and six raw channels at 1 kHz are taken, then windows are asked for.
"""

import time

import numpy as np

from myowave.link import Identity
from myowave.live.history import History
from myowave.wire import Frame

MUSCLES = 4
BATCH = 20
FRAMES = 31_000  # a little over ten minutes: the ring has gone round
CALLS = 100
IDENTITY = Identity(
    firmware="0.1.0",
    model_sha256="0" * 64,
    rate_hz=1000,
    receptive_field=512,
    output_scale=1 / 255,
    output_zero_point=-128,
    acc_lsb_m_s2=0.001,
    gyro_lsb_rad_s=0.001,
    running=True,
    raw=True,
    imu="",
    board="",
    muscles=tuple(f"muscle {i}" for i in range(MUSCLES)),
    imu_rate_hz=1000.0,
    self_test={},
    reset_cause="unknown",
    calibration=None,
)


def filled(history: History) -> float:
    """Fill a history; return the seconds a frame has taken."""
    rng = np.random.default_rng(0)
    frames = [
        Frame(
            "data",
            index % 65536,
            {
                **{"first_tick": BATCH * index, "time_us": 1000 * BATCH * index, "gap_ticks": 0},
                **{"flags": 2, "warm_up": 0, "count": BATCH, "outputs": MUSCLES},
                "predictions": rng.integers(-128, 128, (BATCH, MUSCLES)).astype(np.int8),
                "counts": rng.integers(-32768, 32768, (BATCH, 6)).astype(np.int16),
            },
        )
        for index in range(FRAMES)
    ]
    arrivals_s = 0.001 * BATCH * np.arange(1, FRAMES + 1) + rng.exponential(0.005, FRAMES)
    history.begin(IDENTITY)
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
