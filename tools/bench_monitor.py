"""Measure the monitor's page: what it costs, what it loses, and how late the screen is.

    python tools/bench_monitor.py --minutes 30 --json monitor.json

A virtual board sends four muscles and six raw channels at 1 kHz; `myowave monitor` records and
serves its page, which headless Chromium paints in software. Processor time and memory are those of
the monitor's process, board and browser apart. Latency is measured by the page in the browser: from
the time a sample was measured, by the board's clock fitted to this computer's, to the end of the
animation frame in which it was painted; all samples of an update count, the middle one for them.
"""

import argparse
import contextlib
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from playwright.sync_api import Page, sync_playwright

from myowave.cli.output import console, write_json
from myowave.compiler.reference import REFERENCES, WaveNetShape, random_network
from myowave.log import read_log
from myowave.reference_model import IMU, write_network
from myowave.virtual import VirtualBoard

MUSCLES = 4
SAMPLE_S = 5.0
# After this time memory must not grow any more; for a short run, after its half.
SETTLED_S = 300.0
CHROMIUM_OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
# What was painted since a time: [when (ms), latency (ms)] each.
PAINTED_SINCE = "since => myowave.painted.filter(([when]) => when > since)"


@dataclass(frozen=True)
class Figures:
    """What was measured; the limits are those the monitor is meant to keep.

    Attributes
    ----------
    seconds : float
        From the first painted curve on.
    samples, missing_samples, lost_frames : int
        Of the log that the monitor recorded.
    cpu_percent : float
        Of one core, of the monitor's process.
    memory_mb, memory_growth_mb : float
        Highest resident set; how much it grew once settled.
    updates_hz : float
        Screens a second with new samples on all curves.
    latency_ms, latency_p95_ms : float
        Median and 95th percentile.
    load : float
        Of the machine over the last minute, to tell how busy it was beside.
    """

    minutes: float
    window_s: float
    seconds: float
    samples: int
    missing_samples: int
    lost_frames: int
    cpu_percent: float
    memory_mb: float
    memory_growth_mb: float
    updates_hz: float
    latency_ms: float
    latency_p95_ms: float
    load: float


@dataclass
class Series:
    """What is watched while it runs."""

    times_s: list[float] = field(default_factory=list)
    memory_mb: list[float] = field(default_factory=list)
    latency_ms: list[float] = field(default_factory=list)


def measure(minutes: float, window_s: float, chromium: str | None = None) -> tuple[Figures, Series]:
    """Run board, monitor and browser for some minutes; the browser is the system's unless named."""
    chromium = chromium or shutil.which("chromium")
    if chromium is None:
        raise SystemExit("no Chromium found: apt-get install chromium, or name one")
    shape = REFERENCES["R"]
    network = random_network(WaveNetShape(shape.channels, shape.blocks, MUSCLES))
    steps = np.random.default_rng(1).normal(0.0, 300.0, (60_000, 6))
    counts = np.clip(np.cumsum(steps, axis=0), -32768, 32767).astype(np.int16)
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        model = write_network(folder / "model", network, "reference R, four muscles", IMU)
        board = stack.enter_context(
            VirtualBoard(counts, IMU, model, "native", folder / "board", loop=True)
        )
        log = folder / "session.mwlog"
        process, url = stack.enter_context(_monitor(board.port, model, log, window_s))
        page = stack.enter_context(_page(url, chromium))
        series, cpu_s, seconds = _watch(psutil.Process(process.pid), page, minutes * 60.0)
        stack.close()
        recorded = read_log(log)
    settled = min(SETTLED_S, seconds / 2)
    before = [mb for at, mb in zip(series.times_s, series.memory_mb, strict=True) if at <= settled]
    latency = np.array(series.latency_ms)
    figures = Figures(
        minutes=minutes,
        window_s=window_s,
        seconds=seconds,
        samples=recorded.n_samples,
        missing_samples=int(recorded.missing.sum()),
        lost_frames=recorded.lost_frames,
        cpu_percent=100.0 * cpu_s / seconds,
        memory_mb=max(series.memory_mb),
        memory_growth_mb=statistics.median(series.memory_mb[-5:]) - before[-1],
        updates_hz=len(latency) / seconds,
        latency_ms=float(np.median(latency)),
        latency_p95_ms=float(np.percentile(latency, 95)),
        load=psutil.getloadavg()[0],
    )
    return figures, series


def _watch(process: psutil.Process, page: Page, wanted_s: float) -> tuple[Series, float, float]:
    """Return what was seen for a time, the processor time it took, and the time itself."""
    page.wait_for_function("() => myowave.painted.length > 20")
    series = Series()
    seen_ms = float(page.evaluate("Date.now()"))
    began = time.monotonic()
    cpu_s = _cpu_s(process)
    while (left := wanted_s - (time.monotonic() - began)) > 0:
        time.sleep(min(SAMPLE_S, left))
        painted: list[list[float]] = page.evaluate(PAINTED_SINCE, seen_ms)
        if painted:
            seen_ms = painted[-1][0]
        series.latency_ms += [latency for _, latency in painted]
        series.times_s.append(time.monotonic() - began)
        series.memory_mb.append(process.memory_info().rss / 1e6)
    return series, _cpu_s(process) - cpu_s, time.monotonic() - began


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


@contextlib.contextmanager
def _monitor(
    port: str, model: Path, log: Path, window_s: float
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run `myowave monitor`; yield its process and the address of its page."""
    command = [sys.executable, "-m", "myowave", "monitor", port, "--raw", "--no-browser"]
    command += ["--model", str(model), "--record", str(log), "--window", str(window_s)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            address = re.search(r"http://\S+", line)
            if address is None:
                raise SystemExit(f"the monitor did not say where its page is: {line.strip()!r}")
            yield process, address.group()
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)


@contextlib.contextmanager
def _page(url: str, chromium: str) -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=[*CHROMIUM_OPTIONS])
        page = browser.new_page(viewport={"width": 1600, "height": 1000})
        page.goto(url)
        page.wait_for_function("() => typeof myowave !== 'undefined' && myowave.tab !== null")
        yield page
        browser.close()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--window", type=float, default=10.0, help="seconds in view")
    parser.add_argument("--chromium", help="the browser's path; the system's unless named")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    figures, series = measure(arguments.minutes, arguments.window, arguments.chromium)
    result: dict[str, Any] = asdict(figures)
    for name, value in result.items():
        console.print(
            f"{name:18} {value:10.1f}" if isinstance(value, float) else f"{name:18} {value:10}"
        )
    if arguments.json is not None:
        every = list(zip(series.times_s, series.memory_mb, strict=True))
        write_json(arguments.json, {**result, "memory_mb_at_s": every})


if __name__ == "__main__":
    main()
