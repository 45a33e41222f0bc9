"""Pictures of `myowave inspect`: one recording in detail, or many side by side."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from myowave.envelope import recording_envelope
from myowave.errors import ConfigError
from myowave.files import require_writable, written_whole
from myowave.imu import G_M_S2
from myowave.quality import Inspection, power_density
from myowave.recording import RATE_HZ, Recording

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_VERDICT_COLORS = {"ok": "#2a7f62", "artifact": "#c77700", "exclude": "#b3261e"}
_AXIS_COLORS = ("#c0392b", "#2e8b57", "#2c5fa8")
_MUSCLE_COLORS = ("#3b3b98", "#8e44ad", "#16707a", "#7d5a1e", "#884152", "#44684a")
_GRAY = "#b8bcc4"
_MOST_PANELS = 60
_FORMATS = (".png", ".svg", ".pdf")


def require_plottable(path: Path) -> None:
    """Refuse a picture that cannot be drawn there, before anything is read.

    Raises
    ------
    ConfigError
        If the file name ends in no known picture format or cannot be written.
    """
    if path.suffix.lower() not in _FORMATS:
        raise ConfigError(
            f"{path}: picture format, expected a name ending in {', '.join(_FORMATS)}"
        )
    require_writable(path)


def plot_inspections(
    recordings: Sequence[Recording], inspections: Sequence[Inspection], path: Path
) -> None:
    """Draw recordings to `path` (.png, .svg or .pdf).

    One recording is drawn with sEMG, its envelope and spectrum, acceleration and angular rate;
    several as one panel each, coloured by verdict.

    Raises
    ------
    ConfigError
        As `require_plottable`.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    require_plottable(path)
    style: Any = {
        "font.size": 8.5,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": "#70757d",
        "axes.titlesize": 9,
        "axes.titlelocation": "left",
        "xtick.color": "#44484f",
        "ytick.color": "#44484f",
        "legend.frameon": False,
        "agg.path.chunksize": 20000,
    }
    with rc_context(style):
        if len(recordings) == 1:
            figure = _detail(recordings[0], inspections[0])
        else:
            figure = _overview(recordings, inspections)
        FigureCanvasAgg(figure)
        with written_whole(path) as unfinished:
            figure.savefig(unfinished, dpi=130, format=path.suffix[1:].lower())


def _figure(width: float, height: float, heading_inches: float) -> "Figure":
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    below_heading = (0.0, 0.0, 1.0, 1.0 - heading_inches / height)
    return Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(rect=below_heading))


def _detail(recording: Recording, inspection: Inspection) -> "Figure":
    muscles = len(recording.muscles)
    rows = muscles + 2
    figure = _figure(11.0, 1.0 + 1.9 * rows, heading_inches=0.62)
    grid = figure.add_gridspec(rows, 2, width_ratios=[3.4, 1.0])
    time_s = np.arange(recording.n_samples) / RATE_HZ
    first: Axes | None = None
    envelope = recording_envelope(recording).values if muscles else None
    for column, muscle in enumerate(recording.muscles):
        axes = figure.add_subplot(grid[column, 0], sharex=first)
        first = first or axes
        emg = recording.emg[:, column]
        axes.plot(time_s, emg, color=_GRAY, lw=0.4)
        quality = inspection.emg[muscle]
        # The rail was found on the source's samples; resampling blurs it by a few per cent.
        clipped = np.abs(emg) > 0.96 * quality.abs_max_mv
        if quality.rail_fraction > 0 and clipped.any():
            axes.plot(
                time_s[clipped],
                emg[clipped],
                ".",
                ms=3,
                color=_VERDICT_COLORS["exclude"],
                label="on the rail",
            )
        assert envelope is not None
        color = _MUSCLE_COLORS[column % len(_MUSCLE_COLORS)]
        axes.plot(time_s, envelope[:, column], color=color, lw=1.4, label="envelope, 6 Hz")
        axes.set_title(f"sEMG {muscle}")
        axes.set_ylabel("mV")
        _legend_above(axes)
        axes.tick_params(labelbottom=False)
        _draw_spectrum(figure.add_subplot(grid[column, 1]), emg, color, last=column == muscles - 1)
    for row, (title, values, unit) in enumerate(
        (
            ("Acceleration", recording.acc / G_M_S2, "g"),
            ("Angular rate", np.rad2deg(recording.gyro), "°/s"),
        ),
        start=muscles,
    ):
        axes = figure.add_subplot(grid[row, 0], sharex=first)
        first = first or axes
        for axis in range(3):
            axes.plot(time_s, values[:, axis], color=_AXIS_COLORS[axis], lw=0.8, label="xyz"[axis])
        axes.set_title(title)
        axes.set_ylabel(unit)
        if row == muscles:
            axes.tick_params(labelbottom=False)
        _legend_above(axes)
    assert first is not None
    first.set_xlim(0, time_s[-1])
    axes.set_xlabel("s")
    _write_facts(figure.add_subplot(grid[muscles:, 1]), inspection)
    _write_heading(figure, inspection)
    return figure


def _draw_spectrum(axes: "Axes", emg: NDArray[np.float64], color: str, *, last: bool) -> None:
    frequency_hz, power = power_density(emg, RATE_HZ, 2048)
    level_db = 10 * np.log10(np.maximum(power, 1e-30))
    axes.axvspan(0, 20, color="#f3d9b1", lw=0)
    for hum_hz in (50, 60):
        axes.axvline(hum_hz, color=_GRAY, lw=0.8, ls=":")
    axes.plot(frequency_hz, level_db, color=color, lw=1.0)
    axes.set_xlim(0, 500)
    shown = level_db[(frequency_hz > 2) & (frequency_hz < 440)]
    axes.set_ylim(shown.min() - 5, shown.max() + 5)
    axes.set_title("Power density, dB re 1 mV²/Hz")
    note = "shaded: below 20 Hz\ndotted: 50 and 60 Hz"
    axes.text(0.98, 0.97, note, transform=axes.transAxes, ha="right", va="top", fontsize=7)
    if last:
        axes.set_xlabel("Hz")


def _legend_above(axes: "Axes") -> None:
    """Put the legend right of the title, where it hides no signal."""
    axes.legend(
        loc="lower right", bbox_to_anchor=(1.0, 0.97), ncols=3, fontsize=7.5, borderaxespad=0.0
    )


def _write_heading(figure: "Figure", inspection: Inspection) -> None:
    height = figure.get_size_inches()[1]
    day = f", {inspection.day}" if inspection.day else ""
    figure.text(
        0.012,
        1 - 0.12 / height,
        f"{inspection.name}   {inspection.subject}{day}",
        fontsize=12,
        weight="bold",
        va="top",
    )
    reasons = "; ".join(inspection.reasons)
    figure.text(
        0.012,
        1 - 0.38 / height,
        f"{inspection.verdict}{': ' if reasons else ''}{reasons}",
        fontsize=9.5,
        va="top",
        color=_VERDICT_COLORS[inspection.verdict],
    )


def _write_facts(axes: "Axes", inspection: Inspection) -> None:
    axes.axis("off")
    gravity = np.array(inspection.rest.gravity_m_s2) / G_M_S2
    offset = np.rad2deg(inspection.rest.gyro_offset_rad_s)
    facts = [
        ("length", f"{inspection.duration_s:.1f} s"),
        *((f"{kind} rate", text) for kind, text in rates(inspection)),
        ("gravity at rest", " ".join(f"{value:+.2f}" for value in gravity) + " g"),
        ("its size", f"{inspection.rest.magnitude_m_s2 / G_M_S2:.2f} g"),
        ("gyro offset", " ".join(f"{value:+.1f}" for value in offset) + " °/s"),
        ("put right", inspection.corrected if inspection.corrected != "none" else "nothing"),
    ]
    for muscle, quality in inspection.emg.items():
        facts += [
            (f"{muscle}: on rail", f"{100 * quality.rail_fraction:.2g} %"),
            ("below 20 Hz", f"{100 * quality.below_20hz_power:.1f} %"),
            ("hum 50 / 60 Hz", f"{100 * quality.hum_50hz:.1f} / {100 * quality.hum_60hz:.1f} %"),
        ]
    for line, (name, value) in enumerate(facts):
        y = 0.98 - line * 0.082
        axes.text(0.0, y, name, transform=axes.transAxes, va="top", color="#5c6068")
        axes.text(0.46, y, value, transform=axes.transAxes, va="top")


def _overview(recordings: Sequence[Recording], inspections: Sequence[Inspection]) -> "Figure":
    shown = list(zip(recordings, inspections, strict=True))[:_MOST_PANELS]
    columns = 4
    rows = -(-len(shown) // columns)
    height = 0.9 + 1.55 * rows
    figure = _figure(13.0, height, heading_inches=0.45)
    counts = {
        verdict: sum(one.verdict == verdict for one in inspections) for verdict in _VERDICT_COLORS
    }
    more = f", first {len(shown)} shown" if len(shown) < len(inspections) else ""
    figure.text(
        0.008,
        1 - 0.1 / height,
        f"{len(inspections)} recordings{more}",
        fontsize=12,
        weight="bold",
        va="top",
    )
    x = 0.2
    for verdict, color in _VERDICT_COLORS.items():
        figure.text(
            x, 1 - 0.14 / height, f"{counts[verdict]} {verdict}", color=color, va="top", fontsize=10
        )
        x += 0.085
    figure.text(
        0.992,
        1 - 0.14 / height,
        "over seconds; colour: sEMG envelope (mV), gray: acceleration along x (g, right scale)",
        ha="right",
        va="top",
        color="#5c6068",
    )
    for index, (recording, inspection) in enumerate(shown):
        axes = figure.add_subplot(rows, columns, index + 1)
        color = _VERDICT_COLORS[inspection.verdict]
        time_s = np.arange(recording.n_samples) / RATE_HZ
        behind = axes.twinx()
        behind.plot(time_s[::10], recording.acc[::10, 0] / G_M_S2, color=_GRAY, lw=0.7)
        behind.set_ylim(-2.1, 2.1)
        behind.set_yticks([-1, 0, 1])
        behind.spines["right"].set_visible(True)
        behind.spines["right"].set_color("#d8dbe0")
        behind.tick_params(colors="#8a8f98", labelsize=7)
        axes.set_zorder(behind.get_zorder() + 1)
        axes.patch.set_visible(False)
        if recording.muscles:
            axes.plot(time_s[::5], recording_envelope(recording).values[::5], color=color, lw=0.9)
        axes.set_xlim(0, time_s[-1])
        axes.set_ylim(bottom=0)
        turn = inspection.orientation.turn
        marks = [inspection.verdict, *([f"turned {turn}"] if turn != "none" else [])]
        axes.set_title(f"{inspection.name}  {', '.join(marks)}", color=color)
        axes.tick_params(labelsize=7)
    return figure


def rates(inspection: Inspection, digits: int = 6) -> list[tuple[str, str]]:
    """Return source rates as text, one for the IMU and one for sEMG."""
    texts = []
    for kind, prefixes in (("IMU", ("acc", "gyro")), ("sEMG", ("emg",))):
        found = sorted(
            {rate for channel, rate in inspection.rates_hz.items() if channel.startswith(prefixes)}
        )
        texts.append(
            (kind, " / ".join(f"{rate:.{digits}g}" for rate in found) + " Hz" if found else "-")
        )
    return texts
