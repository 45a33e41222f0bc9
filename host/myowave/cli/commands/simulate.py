"""`myowave simulate`: make recordings of a simulated arm."""

from pathlib import Path
from typing import Annotated

import typer

from myowave.cli.output import JsonFile, console, progress_bar, write_json
from myowave.imu import DEFAULT_IMU

ORDER = 10

HELP = """Simulate an arm: IMU at the wrist and raw EMG, caused by the same muscle excitation.

Elbow flexors and extensors with Hill-type muscles lift a forearm and a dumbbell through curls,
holds, reaches and rests. One recording goes to the file named with `-o`; several people, days or
trials go into the folder named with `-o`. The same options give the same bytes. Everything made
here says `simulated: true`: figures measured on it say nothing about people.

Example: `myowave simulate -o build/sim --seconds 60 --seed 1 --subjects 4 --trials 3`
"""


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("simulate", help=HELP)(simulate_command)


def simulate_command(
    *,
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", metavar="REC", help="File for one recording, folder for several."
        ),
    ],
    seconds: Annotated[float, typer.Option(help="Length of each recording, 5 to 3600.")] = 60.0,
    seed: Annotated[int, typer.Option(help="Makes people, sensors and movements.")] = 1,
    subjects: Annotated[int, typer.Option(help="How many people, named sim01, sim02, ...")] = 1,
    days: Annotated[int, typer.Option(help="Days for each: sensors put on anew.")] = 1,
    trials: Annotated[int, typer.Option(help="Trials a day.")] = 1,
    muscles: Annotated[int, typer.Option(help="1: biceps; 2: biceps and triceps.")] = 1,
    imu: Annotated[str, typer.Option(help="Part whose counts the samples are.")] = DEFAULT_IMU,
    flips: Annotated[
        bool,
        typer.Option(
            "--flips",
            help="Wear the sensor turned by 180° about Z on every second day (or person).",
        ),
    ] = False,
    json_file: JsonFile = None,
) -> None:
    """Write the recordings and list them."""
    from myowave.simulate import SimulationSet, write_set

    request = SimulationSet(
        seconds, seed, subjects, days, trials, muscles=muscles, imu=imu, flips=flips
    )
    files = []
    with progress_bar() as progress:
        task = progress.add_task("simulating", total=request.n_recordings, note="")
        for path in write_set(request, output):
            files.append(str(path))
            progress.update(task, advance=1, note=path.name)
    if json_file is not None:
        write_json(json_file, {"simulated": True, "seconds": seconds, "seed": seed, "files": files})
    what = "recording" if len(files) == 1 else "recordings"
    console.print(f"{len(files)} simulated {what} of {seconds:g} s: {output}")
