"""`myowave check`: do all backends agree, and how good is the prediction?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from myowave.cli.accuracy import print_accuracy
from myowave.cli.output import JsonFile, console, print_table, progress_bar, write_json
from myowave.cli.source_options import MuscleNames

if TYPE_CHECKING:
    from myowave.check import Accuracy, Parity

ORDER = 60

HELP = """Replay recordings through every backend; report parity and accuracy.

Backends, separated by commas: tflm (the oracle), native, cortex-m0plus, cortex-m3, cortex-m4,
cortex-m7, cortex-m55, or the port of a board that replays at its own speed. Every sample is
compared with tflm, or with the first backend where tflm is not named; that one is compared with
tflite-micro on 16 single windows a recording. A difference in one sample fails the check, and is
named with that sample and its input. With `--log`, what a board logged live of the one recording
named is checked in the same way.

Example: `myowave check models/sim_biceps build/sim --on tflm,native`
"""


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("check", help=HELP)(check_command)


def check_command(
    model_dir: Annotated[Path, typer.Argument(metavar="MODEL_DIR", help="From `myowave train`.")],
    sources: Annotated[
        list[Path], typer.Argument(metavar="REC...", help="Recordings, of any supported format.")
    ],
    *,
    backends: Annotated[
        str, typer.Option("--on", metavar="BACKENDS", help="Where to run the model.")
    ] = "tflm,native",
    muscle: MuscleNames = None,
    log: Annotated[
        Path | None,
        typer.Option(metavar="LOG", help="What a board logged of the one recording named."),
    ] = None,
    report: Annotated[
        Path, typer.Option("--report", metavar="FILE", help="Where the HTML report goes.")
    ] = Path("check_report.html"),
    json_file: JsonFile = None,
) -> None:
    """Replay, judge, write the report, and only then fail on a mismatch."""
    from myowave import check
    from myowave.check_report import write_report
    from myowave.model_card import BASELINES_FILE, load_model_dir

    card, tflite = load_model_dir(model_dir)
    names = [name.strip() for name in backends.split(",") if name.strip()]
    # A log holds the counts of a sensor as it was worn.
    recordings = check.load_recordings(sources, card, muscles=muscle or (), as_worn=log is not None)
    if log is not None:
        for name, turn in check.worn_otherwise(recordings, card).items():
            console.print(
                f"{name}: the sensor sits turned ({turn}) against those the model was trained on; "
                "expect no accuracy"
            )
    with progress_bar() as progress:
        task = progress.add_task("checking", total=len(recordings) * len(names), note="")
        result = check.replay(
            card,
            tflite,
            recordings,
            names,
            lambda what: progress.update(task, advance=1, note=what),
        )
    if log is not None:
        check.add_log(result, card, tflite, log)
    accuracy = check.judge(
        card, tflite, result.replays, check.baselines_of(model_dir / BASELINES_FILE)
    )
    _show(result.simulated, result.parity, accuracy)
    write_report(report, card, result, accuracy)
    console.print(f"report: {report}", soft_wrap=True)
    if json_file is not None:
        write_json(
            json_file,
            {
                "model": card.name,
                "tflite_sha256": card.tflite_sha256,
                "simulated": result.simulated,
                "trained_on_simulated": card.simulated,
                "parity": {name: parity.to_json() for name, parity in result.parity.items()},
                **accuracy.to_json(),
            },
        )
    result.require_parity()


def _show(simulated: bool, parity: "dict[str, Parity]", accuracy: "Accuracy") -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("parity with tflite-micro")
    for name in ("samples", "mismatches", "largest difference"):
        table.add_column(name, justify="right")
    for name, item in parity.items():
        table.add_row(name, str(item.samples), str(item.mismatches), str(item.max_abs_diff))
    print_table(table)
    print_accuracy(accuracy, simulated=simulated)
