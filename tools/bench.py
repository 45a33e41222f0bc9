"""Measure every figure of speed and size the README quotes: tables, `build/bench.json`, a picture.

    python tools/bench.py                # everything, about 6 minutes
    python tools/bench.py cores native   # the engine only

Instruction counts and sizes are exact, the same on every machine with the same cross compiler;
times are of this one. The file holds what this run measured and nothing older.
"""

import argparse
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from bench_cores import (
    blocks_table,
    core_row,
    cores_table,
    measure_blocks,
    measure_cores,
    measure_rewritings,
    quoted_rows,
    rewritings_table,
)
from bench_laptop import laptop_table, measure_laptop
from bench_link import measure as measure_loggers
from bench_monitor import measure as measure_monitor
from bench_plot import draw
from bench_recordings import FOLDER, MODEL_DIR, REPOSITORY, check_speed, live_board, trigno_import
from bench_unplug import measure as measure_unplug
from myowave.cli.output import print_table, write_json
from myowave.cortex import measure
from myowave.model_card import load_model_dir

RESULTS = REPOSITORY / "build" / "bench.json"
PICTURE = REPOSITORY / "build" / "bench.png"
console = Console(highlight=False)


def emulated_cores() -> dict[str, Any]:
    """Measure R, S and M on every emulated core, and the kept model on one."""
    rows = measure_cores(progress=console.print)
    card, model = load_model_dir(MODEL_DIR)
    console.print("  sim_biceps on cortex-m4")
    rows.append(core_row("sim_biceps", measure(model, "cortex-m4", card=card.to_json())))
    return {"measured": rows, "quoted": quoted_rows()}


def monitor_page() -> dict[str, Any]:
    """Measure the monitor's page for two minutes; `tools/bench_monitor.py` alone takes thirty."""
    figures, _ = measure_monitor(minutes=2.0, window_s=10.0)
    return asdict(figures)


def tools() -> dict[str, str]:
    """Name what the figures depend on besides the sources."""
    return {
        "arm-none-eabi-gcc": _first_line("arm-none-eabi-gcc", "--version"),
        "qemu-system-arm": _first_line("qemu-system-arm", "--version"),
        "cc": _first_line(os.environ.get("CC") or "cc", "--version"),
        "processor": _processor(),
    }


def _first_line(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "not here"
    return (done.stdout.strip().splitlines() or ["unknown"])[0]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def main() -> int:
    """Measure everything, or the sections named."""
    curls = Path(os.environ.get("MYOWAVE_SHARED", REPOSITORY.parent / "shared")) / "data" / "curls"
    sections: dict[str, Callable[[], Any]] = {
        "cores": emulated_cores,
        "rewritings": measure_rewritings,
        "blocks": measure_blocks,
        "native": measure_laptop,
        "import": trigno_import,
        "check": lambda: check_speed(curls if (curls / "quality.csv").is_file() else None),
        "live": live_board,
        "log": lambda: measure_loggers(boards=4, seconds=30.0, model=MODEL_DIR),
        "unplug": lambda: measure_unplug(times=20, model=MODEL_DIR),
        "monitor": monitor_page,
    }
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sections", nargs="*", help=f"of {', '.join(sections)}; all when none")
    wanted = parser.parse_args().sections or list(sections)
    if unknown := sorted(set(wanted) - set(sections)):
        parser.error(f"unknown section '{unknown[0]}', expected one of {', '.join(sections)}")
    FOLDER.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {"tools": tools()}
    for name in wanted:
        console.print(f"measuring: {name}")
        results[name] = sections[name]()
    write_json(RESULTS, results)
    written = ["build/bench.json"]
    if cores := results.get("cores"):
        draw(cores["measured"], cores["quoted"], PICTURE)
        written.append("build/bench.png")
        print_table(cores_table(cores["measured"], cores["quoted"]))
    if rewritings := results.get("rewritings"):
        print_table(rewritings_table(rewritings))
    if blocks := results.get("blocks"):
        print_table(blocks_table(blocks))
    if native := results.get("native"):
        print_table(laptop_table(native))
    for name in wanted:
        if name not in ("cores", "rewritings", "blocks", "native"):
            for key, value in results[name].items():
                text = f"{value:.4g}" if isinstance(value, float) else str(value)
                console.print(f"{name}: {key.replace('_', ' ')} {text}")
    console.print(f"written: {', '.join(written)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
