"""`myowave train`: from recordings to a model directory."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from myowave.cli.accuracy import print_accuracy
from myowave.cli.output import JsonFile, console, progress_bar, write_json

if TYPE_CHECKING:
    from myowave.fitting import Progress
    from myowave.train import TrainingResult

ORDER = 40

HELP = """Train a network on recordings and export it: float training, int8, C tables, report.

Recordings are files from `simulate` or `import`, or folders of them. The folder named with `-o`
gets `model.keras`, `model.tflite`, `model.json` (the card), `model_data.h` and `.c`,
`baselines.npz` and `report.html`. Ctrl-C ends the optimisation and exports the best model so far.

Example: `myowave train build/sim -o build/model --config tools/demo.toml`
"""


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("train", help=HELP)(train_command)


def train_command(
    *,
    recordings: Annotated[
        list[Path], typer.Argument(metavar="REC...", help="Recordings, or folders of them.")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="MODEL_DIR", help="Folder for the model.")
    ],
    config_file: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="TOML with what differs from the recipe."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Of split, weights and examples; wins over the file.")
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Train, export, judge; print the table."""
    import dataclasses

    from myowave.readers import find_sources, read
    from myowave.train_config import TrainConfig, load_config

    config = load_config(config_file) if config_file else TrainConfig()
    if seed is not None:
        config = dataclasses.replace(config, seed=seed)
    loaded = [read(path) for path in find_sources(recordings)]

    from myowave.train import train

    with progress_bar() as bar:
        task = bar.add_task("training", total=None, note="starting TensorFlow")

        def show(progress: "Progress") -> None:
            held_out = (
                "" if progress.best_r is None else f"  held-out r {progress.best_r:.3f} at best"
            )
            bar.update(
                task,
                total=progress.steps,
                completed=progress.step,
                note=f"loss {progress.loss:.4f}{held_out}",
            )

        def tell(line: str) -> None:
            bar.update(task, note=line)

        result = train(loaded, output, config, show, tell)
    _print(result)
    _print_fit(result.folder)
    if json_file is not None:
        write_json(
            json_file,
            {
                "model": str(output),
                "simulated": result.card.simulated,
                "split": result.split.names(),
                "steps": result.fitted.best_step,
                "seed": result.fitted.best_seed,
                "interrupted": result.fitted.interrupted,
                **result.accuracy.to_json(),
                "float": result.float_figures,
            },
        )


def _print(result: "TrainingResult") -> None:
    from myowave.train import REPORT_FILE

    print_accuracy(result.accuracy, simulated=result.card.simulated)
    ended = " (ended by Ctrl-C)" if result.fitted.interrupted else ""
    console.print(
        f"best step {result.fitted.best_step} of seed {result.fitted.best_seed}{ended}; "
        f"{result.card.metrics['verified_windows']} windows equal on tflite-micro\n"
        f"{result.folder}: model and {REPORT_FILE}"
    )


def _print_fit(folder: Path) -> None:
    """Print which boards the model fits, or in one line why that is not known."""
    from myowave.cli.verdicts import print_verdicts
    from myowave.errors import ToolError
    from myowave.fit import fit_model

    try:
        with console.status("measuring") as status:
            fit = fit_model(folder, progress=status.update)
    except ToolError as error:
        console.print(f"fit not judged: {error}")
        return
    print_verdicts(fit)
    console.print(f"estimates: 'myowave fit {folder}' says how they are made")
