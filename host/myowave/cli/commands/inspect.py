"""`myowave inspect`: what is in recordings and what is wrong with them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from myowave.cli.output import JsonFile, console, print_table, progress_bar, write_json
from myowave.cli.source_options import AllowMissingGyro, ImuOnly, ImuSensor
from myowave.imu import G_M_S2

if TYPE_CHECKING:
    from myowave.quality import Inspection

ORDER = 30

HELP = """Show rates, gaps, clipping, artifacts, hum, gravity and sensor orientation of recordings.

Takes recording files, source files of any supported format, and folders of them. Each recording
gets a verdict: `ok`, `artifact` (use with care) or `exclude`, with the reasons. `rail`, `<20Hz` and
`hum` are the worst muscle's share of clipped samples, of power below 20 Hz and of mains hum; `gap`
is the longest time one value was held, as where the radio link failed, once it exceeds 20 ms;
`gravity` is the axis it lies along at rest, in g; `turn` tells how a sensor sits relative to the
other recordings given: `180z` was strapped on the other way round.

Example: `myowave inspect build/sim --plot build/sim.png --json build/sim.json`
"""


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("inspect", help=HELP)(inspect_command)


def inspect_command(
    recordings: Annotated[
        list[Path], typer.Argument(metavar="REC...", help="Recordings, sources or folders.")
    ],
    *,
    imu_sensor: ImuSensor = None,
    allow_missing_gyro: AllowMissingGyro = False,
    imu_only: ImuOnly = False,
    like: Annotated[
        list[Path] | None,
        typer.Option(metavar="REC", help="Compare orientation with these instead (repeat)."),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE", help="Draw them (.png, .svg, .pdf).")
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Print one line a recording and the reasons of each verdict."""
    from rich.table import Table

    from myowave.orientation import fit_reference
    from myowave.quality import inspect
    from myowave.quality_plot import plot_inspections, rates, require_plottable
    from myowave.readers import ReadOptions, find_sources, read
    from myowave.recording import load

    options = ReadOptions(
        imu_sensor=imu_sensor, allow_missing_gyro=allow_missing_gyro, imu_only=imu_only
    )
    if plot is not None:
        require_plottable(plot)
    paths = find_sources(recordings)
    loaded = []
    with progress_bar() as progress:
        task = progress.add_task("reading", total=len(paths), note="")
        for path in paths:
            loaded.append(read(path, options))
            progress.update(task, advance=1, note=path.name)
    reference = None
    if like:
        reference = fit_reference([load(path) for path in find_sources(like)])
    inspections = inspect(loaded, reference)

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("recording", no_wrap=True)
    for title in ("s", "rates Hz", "rail %", "<20Hz %", "hum %", "gap ms", "gravity", "turn"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for one in inspections:
        source_rates = ", ".join(text.removesuffix(" Hz") for _, text in rates(one, digits=4))
        worst = [
            max((getattr(quality, name) for quality in one.emg.values()), default=0.0)
            for name in ("rail_fraction", "below_20hz_power")
        ]
        hum = max((max(q.hum_50hz, q.hum_60hz) for q in one.emg.values()), default=0.0)
        color = {"ok": "green", "artifact": "yellow", "exclude": "red"}[one.verdict]
        table.add_row(
            one.name,
            f"{one.duration_s:.0f}",
            source_rates,
            f"{100 * worst[0]:.2g}",
            f"{100 * worst[1]:.0f}",
            f"{100 * hum:.0f}",
            f"{_gap_ms(one):.0f}",
            _gravity(one.rest.gravity_m_s2),
            "-" if reference is None and len(inspections) == 1 else one.orientation.turn,
            f"[{color}]{one.verdict}[/{color}]",
        )
    print_table(table)
    for one in inspections:
        if one.reasons:
            console.print(f"{one.name}: {'; '.join(one.reasons)}", markup=False, soft_wrap=True)
    if plot is not None:
        plot_inspections(loaded, inspections, plot)
        console.print(f"picture: {plot}", markup=False)
    if json_file is not None:
        write_json(
            json_file,
            {
                "recordings": [
                    {"file": str(path), **one.to_json()}
                    for path, one in zip(paths, inspections, strict=True)
                ]
            },
        )


def _gap_ms(inspection: "Inspection") -> float:
    holds = [quality.longest_hold_ms for quality in inspection.emg.values()]
    # The slowest IMU repeats its last sample for some milliseconds where nothing is wrong.
    longest = max([*holds, inspection.imu_longest_hold_ms])
    return longest if longest > 20.0 else 0.0


def _gravity(gravity_m_s2: tuple[float, float, float]) -> str:
    """Return the axis gravity lies along most, and how much of it: '+x 0.97'."""
    axis = max(range(3), key=lambda index: abs(gravity_m_s2[index]))
    value = gravity_m_s2[axis] / G_M_S2
    return f"{'-' if value < 0 else '+'}{'xyz'[axis]} {abs(value):.2f}"
