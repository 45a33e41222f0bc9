"""Measure how soon an unplugged board is noticed, and how soon its samples are back.

    python tools/bench_unplug.py --times 20

A `native` board is killed under a session of the monitor, then another one takes its port.
"""

import argparse
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import psutil

from myowave.firmware import default_model
from myowave.imu import imu_by_name
from myowave.live.session import Session
from myowave.model_card import load_card
from myowave.virtual import VirtualBoard

LOOK_S = 0.001
PATIENCE_S = 30.0


def seconds_until(what: Callable[[], bool]) -> float:
    """Return the seconds until something is so."""
    began = time.monotonic()
    while not what():
        if time.monotonic() - began > PATIENCE_S:
            raise SystemExit(f"nothing happened within {PATIENCE_S:g} s")
        time.sleep(LOOK_S)
    return time.monotonic() - began


def measure(times: int, model: Path) -> dict[str, float]:
    """Unplug and replug a board so many times; return milliseconds."""
    imu = imu_by_name(load_card(model).imu)
    at_rest = np.zeros((10_000, 6), dtype=np.int16)
    noticed_s, back_s = [], []
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder, "board")
        session = Session(str(link))
        seen = 0  # samples before the board was plugged in

        def sends() -> bool:
            return session.status().samples > seen

        def unplugged() -> bool:
            return session.status().state == "waiting"

        def unplug() -> None:
            for process in psutil.Process().children():
                process.kill()
            noticed_s.append(seconds_until(unplugged))

        def plug() -> VirtualBoard:
            return VirtualBoard(at_rest, imu, model, "native", link, loop=True)

        stop = threading.Event()
        thread = threading.Thread(target=session.run, args=(stop, lambda status: None), daemon=True)
        with plug():
            thread.start()
            seconds_until(sends)
            unplug()
        for _ in range(times):
            seen = session.status().samples
            with plug():
                back_s.append(seconds_until(sends))
                unplug()
        stop.set()
        thread.join()
    return {
        "times": times,
        "noticed_ms_median": 1000 * median(noticed_s),
        "noticed_ms_longest": 1000 * max(noticed_s),
        "back_ms_median": 1000 * median(back_s),
        "back_ms_longest": 1000 * max(back_s),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=20)
    for name, value in measure(parser.parse_args().times, default_model()).items():
        print(f"{name:20} {value:.0f}")


if __name__ == "__main__":
    main()
