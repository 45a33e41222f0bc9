"""Accuracy on real recordings: train on `curls`, judge unseen days and subjects, print the table.

    .venv/bin/python tools/curls_benchmark.py --split day

reads the folder `data/curls` of `$MYOWAVE_SHARED` (or of `--shared`), which is no part of this
repository: the recordings carry no licence. Models and figures go to `build/curls/` and nowhere
else. The configuration is the default recipe; only the splits are named here.
"""

import argparse
import dataclasses
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from myowave.errors import ConfigError, MyowaveError
from myowave.metrics import Figures, median_figures
from myowave.paths import REPOSITORY, build_dir
from myowave.readers import find_sources, read
from myowave.recording import Recording
from myowave.train import TrainingResult, train
from myowave.train_config import TrainConfig, load_config

MUSCLE = "bicep"  # as the sensor is named in the files
COLUMNS = ("r", "r2", "peak_ratio", "lag_ms", "onset_error_ms")
console = Console(highlight=False)

# What stays unseen, as the README of the recordings splits them.
SPLITS: dict[str, tuple[str, str]] = {
    "day": ("day", "A321/2025-02-12"),
    "A321": ("subject", "A321"),
    "P714": ("subject", "P714"),
    "T417": ("subject", "T417"),
}


def curls_folder(shared: Path | None) -> Path:
    """Return the folder of the recordings; raise ConfigError that says where it was looked for."""
    root = shared or Path(os.environ.get("MYOWAVE_SHARED", REPOSITORY.parent / "shared"))
    folder = root / "data" / "curls"
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no recordings here; name their root with MYOWAVE_SHARED")
    return folder


def figures_of(result: TrainingResult) -> dict[str, Any]:
    """Return medians over the test recordings, with and without those used for calibration."""
    judged = result.accuracy.muscles[MUSCLE]
    calibrated = set(result.card.training["calibrated_on"])
    others = [name for name in judged.of_recordings if name not in calibrated]

    def medians(names: list[str]) -> dict[str, Figures]:
        methods = {"model": judged.of_recordings, "model, with gain": judged.with_gain}
        for baseline in ("ridge", "swap", "mean_curve"):
            methods[baseline] = judged.baselines[baseline]
            methods[f"{baseline}, with gain"] = judged.baselines_with_gain.get(baseline, {})
        return {
            method: median_figures([rows[name] for name in names if name in rows])
            for method, rows in methods.items()
        }

    return {
        "all": medians(list(judged.of_recordings)),
        "without_calibration": medians(others) if others else {},
        "float": result.float_figures[MUSCLE],
        "recordings": judged.of_recordings,
        "recordings_with_gain": judged.with_gain,
        "calibrated_on": sorted(calibrated & set(judged.of_recordings)),
        "left_out": result.left_out,
        "steps": result.fitted.best_step,
        "seconds": result.fitted.seconds,
    }


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--shared", type=Path, help="folder that holds data/curls")
    parser.add_argument("--split", choices=[*SPLITS, "all"], default="all")
    parser.add_argument("--config", type=Path, help="recipe other than the default one")
    parser.add_argument("--seeds", type=int, default=1, help="repeat with so many seeds")
    arguments = parser.parse_args()
    config = load_config(arguments.config) if arguments.config else TrainConfig()
    out = build_dir("curls")
    paths = find_sources([curls_folder(arguments.shared)])
    with console.status(f"reading {len(paths)} recordings"):
        recordings = [read(path) for path in paths]
    wanted = list(SPLITS) if arguments.split == "all" else [arguments.split]
    results: dict[str, Any] = {}
    for name in wanted:
        runs = [
            figures_of(_train(recordings, name, seed, config, out))
            for seed in range(config.seed, config.seed + arguments.seeds)
        ]
        results[name] = runs
        _show(name, runs)
        path = out / f"figures-{arguments.split}.json"
        path.write_text(json.dumps(results, indent=2) + "\n")
    console.print(f"figures: {path.relative_to(REPOSITORY)}")
    return 0


def _train(
    recordings: list[Recording], name: str, seed: int, config: TrainConfig, out: Path
) -> TrainingResult:
    by, test = SPLITS[name]
    split = dataclasses.replace(config.split, by=by, test=(test,))
    config = dataclasses.replace(config, seed=seed, split=split)
    started = time.monotonic()
    with console.status(f"{name}, seed {seed}") as status:

        def tell(line: str) -> None:
            status.update(f"{name}, seed {seed}, {time.monotonic() - started:.0f} s: {line}")

        return train(
            recordings,
            out / f"{name}-{seed}",
            config,
            lambda p: tell(f"step {p.step} of {p.steps}, held-out r {p.best_r or 0.0:.3f}"),
            tell,
        )


def _show(name: str, runs: list[dict[str, Any]]) -> None:
    for which in ("all", "without_calibration"):
        if not runs[0][which]:
            continue
        title = "all test recordings" if which == "all" else "without the day's calibration set"
        table = Table(title=f"unseen {name}: {title}, medians", title_justify="left")
        table.add_column("")
        for column in COLUMNS:
            table.add_column(column, justify="right")
        for method in runs[0][which]:
            over_seeds = median_figures([run[which][method] for run in runs])
            if over_seeds:
                values = [over_seeds[column] for column in COLUMNS]
                table.add_row(method, *("–" if v is None else f"{v:.3f}" for v in values))
        console.print(table)
    floats = median_figures([run["float"] for run in runs])
    quantized = median_figures([run["all"]["model"] for run in runs])
    console.print(f"float r {floats['r']:.4f}, int8 r {quantized['r']:.4f}\n")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except MyowaveError as error:
        print(f"curls_benchmark: error: {error}", file=sys.stderr)
        sys.exit(2)
