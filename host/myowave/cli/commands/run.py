"""`myowave run`: int8 samples through one backend."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from myowave.backends import INT8_BACKENDS
from myowave.cli.output import console, progress_bar
from myowave.errors import ConfigError, ModelError, RecordingError

ORDER = 70

HELP = f"""Run int8 samples through one backend and store its int8 predictions.

MODEL is a `.tflite` file or a model directory, X an `.npy` file of int8 of shape (n, inputs). Y
gets int8 of shape (n, outputs). The first receptive field - 1 rows are warm-up: the engine's delay
lines start at their zero points; tflite-micro has no window there and the rows hold the output's
zero point. Backends: {", ".join(INT8_BACKENDS)}.

Example: `myowave run models/sim_biceps -i x.npy -o y.npy --on cortex-m4`
"""


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("run", help=HELP)(run_command)


def run_command(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help=".tflite file or directory.")],
    *,
    source: Annotated[Path, typer.Option("-i", "--input", metavar="X.npy", help="int8 samples.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="Y.npy", help="File for the predictions.")
    ],
    backend: Annotated[str, typer.Option("--on", metavar="BACKEND", help="Where to run.")] = (
        "native"
    ),
) -> None:
    """Load, run, store."""
    from myowave.backends import run_int8
    from myowave.compiler import load_plan
    from myowave.compiler.files import read_model

    if backend not in INT8_BACKENDS:
        raise ConfigError(
            f"unknown backend '{backend}', expected one of {', '.join(INT8_BACKENDS)}"
        )
    tflite, _ = read_model(model)
    try:
        plan = load_plan(tflite)
    except ModelError as error:
        raise type(error)(f"{model}: {error}") from error
    x = load_samples(source, plan.n_inputs)
    with progress_bar() as progress:
        task = progress.add_task(backend, total=len(x), note="samples")
        y = run_int8(backend, tflite, x, lambda done, _total: progress.update(task, completed=done))
        progress.update(task, completed=len(x))
    output.parent.mkdir(parents=True, exist_ok=True)
    with output.open("wb") as file:
        np.save(file, y)
    warm_up = min(plan.receptive_field - 1, len(x))
    console.print(
        f"{len(x)} samples on {backend}, {warm_up} of them warm-up: {output} "
        f"int8 {y.shape[0]} x {y.shape[1]}",
        soft_wrap=True,
    )


def load_samples(path: Path, channels: int) -> np.ndarray[tuple[int, int], np.dtype[np.int8]]:
    """Return the (n, channels) int8 array in an `.npy` file.

    Raises
    ------
    RecordingError
        If the file holds anything else.
    """
    try:
        # Pickled objects could run code; plain arrays need none.
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise RecordingError(f"{path}: not an .npy file of plain numbers, expected int8") from error
    if not isinstance(array, np.ndarray) or array.dtype != np.int8:
        found = array.dtype if isinstance(array, np.ndarray) else "an .npz archive"
        raise RecordingError(f"{path}: {found}, expected int8")
    if array.ndim != 2 or array.shape[1] != channels or not len(array):
        raise RecordingError(
            f"{path}: shape {array.shape}, expected (n, {channels}) with n of 1 or more"
        )
    return array
