"""The main job, end to end: the commands a user would type, run one after the other.

Without recordings of one's own it runs on simulated ones, and says so. Everything it makes is in
`build/demo/`; it ends with a table and with `build/demo/report.html`, which ties the rest together.
"""

import argparse
import json
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from myowave import check
from myowave.errors import LinkError, MyowaveError, ToolError
from myowave.model_card import load_model_dir
from myowave.recording import RATE_HZ
from myowave.report import Report
from myowave.report.figures import envelope_overlay

REPOSITORY = Path(__file__).resolve().parents[1]
MYOWAVE = Path(sys.executable).with_name("myowave")
BOARD = "cortex_m4"
LIVE_S = 30
BOOT_TIMEOUT_S = 60
console = Console(highlight=False)


class Demo:
    """The steps, in order, and how long each took.

    Parameters
    ----------
    folder : Path
        Where everything goes; what was there is removed.
    sources : list of Path
        Recordings to use; simulated ones when empty.
    """

    def __init__(self, folder: Path, sources: list[Path]) -> None:
        self.folder = folder
        self.sources = sources
        self.timings: list[tuple[str, float]] = []
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)

    def command(self, *words: object) -> list[str]:
        """Print a `myowave` command as a user in the repository's folder would type it."""
        texts = [
            str(word.relative_to(REPOSITORY))
            if isinstance(word, Path) and word.is_relative_to(REPOSITORY)
            else str(word)
            for word in words
        ]
        console.print(f"\n[bold cyan]$ myowave {shlex.join(texts)}[/]", soft_wrap=True)
        return [str(MYOWAVE), *texts]

    def run(self, title: str, *words: object) -> None:
        """Run one command to its end; raise ToolError when it fails."""
        started = time.monotonic()
        result = subprocess.run(self.command(*words), cwd=REPOSITORY, check=False)
        if result.returncode != 0:
            raise ToolError(f"the demo stopped: '{title}' failed, its message is above")
        self.timings.append((title, time.monotonic() - started))

    def live(self, recording: Path, model: Path, log: Path) -> None:
        """Feed `recording` to an emulated board in real time and log what the board sends."""
        link = self.folder / "board"
        board = subprocess.Popen(
            self.command("virtual", recording, "--board", BOARD, "--model", model, "--link", link),
            cwd=REPOSITORY,
        )
        try:
            deadline = time.monotonic() + BOOT_TIMEOUT_S
            while not link.exists():
                if board.poll() is not None or time.monotonic() > deadline:
                    raise LinkError(f"{link}: no emulated board here after {BOOT_TIMEOUT_S} s")
                time.sleep(0.1)
            figures = self.folder / "log.json"
            self.run(
                f"log the board for {LIVE_S} s",
                *("log", link, "-o", log, "--seconds", str(LIVE_S), "--raw", "--json", figures),
            )
        finally:
            board.send_signal(signal.SIGINT)
            board.wait(timeout=20)

    def recordings(self) -> Path:
        """Make or import the recordings; return their folder."""
        folder = self.folder / "recordings"
        sources = self.sources
        if not sources:
            # Every second day with the sensor turned, as happens: `import` puts it right.
            sources = [self.folder / "simulated"]
            self.run(
                "simulate",
                *("simulate", "-o", sources[0], "--seconds", "40", "--seed", "1"),
                *("--subjects", "4", "--days", "2", "--trials", "2", "--flips"),
            )
        self.run("import", "import", *sources, "-o", folder)
        return folder

    def show_end(self, recording: Path, log: Path) -> None:
        """Print the closing table and write the page that ties the parts together."""
        checked = _read(self.folder / "check.json")
        live = _read(self.folder / "live.json")
        counters = _read(self.folder / "log.json")["statistics"]
        title = "The main job, end to end"
        if checked["simulated"]:
            title += " (simulated recordings)"
        rows = _closing_rows(checked, live, counters, self.timings)
        table = Table(title=title, title_justify="left", show_header=False)
        table.add_column("")
        table.add_column("", justify="right")
        for row in rows:
            table.add_row(*row)
        console.print()
        console.print(table)

        report = Report("MyoWave demo", "from recordings to a prediction on an emulated board")
        if checked["simulated"]:
            report.add_notice(
                "warning", "Made from **simulated** recordings: no figure is of a person."
            )
        report.add_table(title, ["", ""], rows)
        overlay = _live_overlay(self.folder / "model", recording, log)
        overlay.savefig(self.folder / "live.png", dpi=150)
        report.add_figure(
            overlay,
            f"What the emulated {BOARD} sent, live over its serial port, and the recorded envelope",
        )
        report.add_table("Steps", ["step", "seconds"], [list(item) for item in self.timings])
        report.add_links(
            [
                ("inspect.png", "What the recordings look like"),
                ("model/report.html", "Training: learning curves, test recordings, baselines"),
                ("check.html", "Check: every backend on the test recordings"),
                ("live.html", "Check of the live log"),
                ("model/model.json", "The model's card"),
            ]
        )
        page = self.folder / "report.html"
        report.write(page)
        console.print(f"report: {page.relative_to(REPOSITORY)}", soft_wrap=True)


def _read(path: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return values


def _closing_rows(
    checked: dict[str, Any],
    live: dict[str, Any],
    counters: dict[str, int],
    timings: list[tuple[str, float]],
) -> list[list[str]]:
    parities = {**checked["parity"], "live log": live["parity"]["log"]}
    rows = [
        [f"{name}: samples compared with tflite-micro", f"{parity['samples']}"]
        for name, parity in parities.items()
    ]
    differing = sum(parity["mismatches"] for parity in parities.values())
    rows.append(["samples that differ", str(differing)])
    for muscle, model in checked["accuracy"].items():
        ridge = checked["baselines"]["ridge"][muscle]
        for key, name in (("r", "r"), ("r2", "R²"), ("peak_ratio", "peak ratio")):
            rows.append(
                [f"{muscle}: {name}, model (ridge)", f"{model[key]:.3f} ({ridge[key]:.3f})"]
            )
    lost = counters["missed"] + counters["dropped"]
    rows.append(["samples the live board processed", str(counters["processed"])])
    rows.append(["samples the live board dropped or missed", str(lost)])
    rows.append(["seconds in all", f"{sum(seconds for _, seconds in timings):.0f}"])
    return rows


def _live_overlay(model_dir: Path, recording: Path, log: Path) -> Figure:
    """Draw what the board predicted live over the recorded envelope."""
    card, tflite = load_model_dir(model_dir)
    recordings = check.load_recordings([recording], card, as_worn=True)
    result = check.replay(card, tflite, recordings, ["native"])
    check.add_log(result, card, tflite, log)
    (live,) = result.replays
    recorded = check.judge(card, tflite, [live]).recorded[live.recording.name]
    return envelope_overlay(
        np.arange(len(recorded)) / RATE_HZ,
        recorded,
        {"board, live": live.shown(card.receptive_field)},
        muscles=card.muscles,
    )


def run(folder: Path, sources: list[Path]) -> None:
    """Run the demo; raise MyowaveError where it cannot go on."""
    demo = Demo(folder, sources)
    recordings = demo.recordings()
    demo.run("inspect", "inspect", recordings, "--plot", folder / "inspect.png")
    model = folder / "model"
    # A person's own recordings get the full recipe, not the short one for the simulation.
    recipe = [] if sources else ["--config", REPOSITORY / "tools" / "demo.toml"]
    demo.run("train", "train", recordings, "-o", model, *recipe, "--json", folder / "train.json")
    names = _read(folder / "train.json")["split"]["test"]
    tests = [recordings / f"{name}.parquet" for name in names]
    demo.run("build and boot", "flash", BOARD, "--model", model)
    log = folder / "board.mwlog"
    demo.live(tests[0], model, log)
    demo.run(
        "check every backend",
        *("check", model, *tests, "--on", "tflm,native,cortex-m4"),
        *("--json", folder / "check.json", "--report", folder / "check.html"),
    )
    demo.run(
        "check the live log",
        *("check", model, tests[0], "--on", "native", "--log", log),
        *("--json", folder / "live.json", "--report", folder / "live.html"),
    )
    demo.show_end(tests[0], log)


def main() -> int:
    """Run the demo from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--recordings", type=Path, nargs="+", default=[], help="your own, in place of simulated"
    )
    arguments = parser.parse_args()
    try:
        run(REPOSITORY / "build" / "demo", [path.resolve() for path in arguments.recordings])
    except MyowaveError as error:
        print(f"demo: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
