"""The pictures reports are made of; each function returns a matplotlib figure.

They are drawn without pyplot, so nothing has to be closed and no display is needed. In a report,
text and axes take the page's own colours, light or dark; `figure.savefig(path)` gives a picture of
its own, on white.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from myowave.errors import ConfigError
from myowave.recording import RATE_HZ, Recording
from myowave.report.page import FAINT, INK

# Told apart by people with colour-blindness and readable on white and on near-black.
COLORS = ("#3182d8", "#e0762b", "#2f9e73", "#b06bd0", "#c29a1f", "#d1567f")
AXES_NAMES = ("x", "y", "z")
# More points than this across a figure are drawn as the range they span.
COLUMNS = 1000

# Any: the stubs know the keys one by one, a dictionary of some of them they do not.
_STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 9.0,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlesize": 10.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.prop_cycle": cycler(color=COLORS),
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "lines.linewidth": 1.2,
}


def envelope_overlay(
    time_s: ArrayLike,
    recorded: ArrayLike,
    predicted: Mapping[str, ArrayLike],
    title: str = "",
    *,
    muscles: Sequence[str] = (),
    unit: str = "of reference",
) -> Figure:
    """Draw predicted envelopes over the recorded one, one panel a muscle.

    Parameters
    ----------
    time_s : (n,)
        Times in seconds.
    recorded : (n,) or (n, m)
        Recorded envelope; NaN leaves a gap.
    predicted : mapping of str to (n,) or (n, m)
        Label and envelope of each prediction; NaN (warm-up) leaves a gap.
    title : str
        Shown above.
    muscles : sequence of str
        Names of the m columns, shown on the panels.
    unit : str
        What 1 means, for the axis.

    Raises
    ------
    ConfigError
        If the arrays do not have the same length.
    """
    time = np.asarray(time_s, dtype=np.float64)
    truth = _columns("recorded", recorded, time.size)
    lines = {label: _columns(label, values, time.size) for label, values in predicted.items()}
    m = truth.shape[1]
    with mpl.rc_context(_STYLE):
        figure, panels = _panels(m, height=2.3 if m == 1 else 1.9)
        for column, panel in enumerate(panels):
            _line(panel, time, truth[:, column], INK, "recorded", width=0.8, fill=True)
            for (label, values), color in zip(lines.items(), _cycle(), strict=False):
                _line(panel, time, values[:, column], color, label)
            name = f"{muscles[column]}\n" if len(muscles) == m else ""
            panel.set_ylabel(f"{name}{unit}")
            panel.set_ylim(bottom=0.0)
        _finish(panels, time, title)
    return figure


def learning_curves(
    history: Mapping[str, Sequence[float]], *, best_epoch: int | None = None
) -> Figure:
    """Draw the course of training.

    Parameters
    ----------
    history : mapping of str to sequence of float
        One value an epoch, as Keras gives it: names with "loss" in them share a logarithmic panel,
        all others a second, linear one; "val_" in front means held out and is drawn bold.
    best_epoch : int, optional
        Epoch kept, from 1; marked.
    """
    losses = {name: values for name, values in history.items() if "loss" in name}
    others = {name: values for name, values in history.items() if "loss" not in name}
    groups = [(names, kind) for names, kind in ((losses, "loss"), (others, "metric")) if names]
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(8.5, 2.7), layout="constrained")
        panels = figure.subplots(1, max(1, len(groups)), squeeze=False)[0]
        for panel, (names, kind) in zip(panels, groups, strict=False):
            for (name, values), color in zip(names.items(), _cycle(), strict=False):
                held_out = name.startswith("val_")
                label = f"{name.removeprefix('val_')}, held out" if held_out else name
                epochs = np.arange(1, len(values) + 1)
                panel.plot(
                    epochs, values, color=color, label=label, linewidth=1.8 if held_out else 1.0
                )
            if kind == "loss" and all(np.nanmin(values) > 0 for values in names.values()):
                panel.set_yscale("log")
            if best_epoch is not None:
                panel.axvline(best_epoch, color=INK, linewidth=0.8, linestyle=":")
                panel.annotate(
                    f"kept: {best_epoch}",
                    (best_epoch, 1.0),
                    xycoords=("data", "axes fraction"),
                    xytext=(3, -2),
                    textcoords="offset points",
                    verticalalignment="top",
                    fontsize=8,
                )
            panel.set_xlabel("epoch")
            panel.set_ylabel(kind)
            panel.legend()
    return figure


def accuracy_bars(table: Mapping[str, Mapping[str, float]], title: str = "") -> Figure:
    """Draw metrics of several methods beside each other.

    Parameters
    ----------
    table : mapping of str to mapping of str to float
        Metric values of each method, e.g. `{"model": {"r": 0.82, "r2": 0.45}, "ridge": {...}}`; the
        first method's metrics are drawn, NaN and missing ones left out.
    """
    methods = list(table)
    metrics = list(table[methods[0]]) if methods else []
    width = 0.8 / max(1, len(methods))
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(8.5, 2.9), layout="constrained")
        panel = figure.subplots()
        for index, (method, color) in enumerate(zip(methods, _cycle(), strict=False)):
            values = np.array([table[method].get(metric, np.nan) for metric in metrics], float)
            places = np.arange(len(metrics)) + (index - (len(methods) - 1) / 2) * width
            bars = panel.bar(places, values, 0.9 * width, color=color, label=method)
            labels = ["" if np.isnan(value) else f"{value:.2f}" for value in values]
            panel.bar_label(bars, labels, padding=1, fontsize=8, color=INK)
        panel.axhline(0.0, color=INK, linewidth=0.8)
        panel.set_xticks(range(len(metrics)), metrics)
        panel.grid(axis="x", visible=False)
        panel.margins(y=0.12)
        # R² has no lower bound: one method far off must not flatten the others; the label tells.
        panel.set_ylim(bottom=max(-1.0, panel.get_ylim()[0]))
        if title:
            panel.set_title(title)
        if methods:
            panel.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def emg_imu_overview(
    recording: Recording, envelope: NDArray[np.float64] | None = None, title: str | None = None
) -> Figure:
    """Draw acceleration, angular rate and EMG of a recording.

    Parameters
    ----------
    recording : Recording
        What to draw.
    envelope : (n, m) array, optional
        Envelope of each muscle in mV, drawn over the raw EMG.
    title : str, optional
        Instead of the recording's name.

    Raises
    ------
    ConfigError
        If the envelope has not the shape of the EMG.
    """
    if envelope is not None and envelope.shape != recording.emg.shape:
        raise ConfigError(f"envelope: shape {envelope.shape}, expected {recording.emg.shape}")
    time = np.arange(recording.n_samples) / RATE_HZ
    with mpl.rc_context(_STYLE):
        figure, panels = _panels(2 + len(recording.muscles), height=1.6)
        for panel, values, label in (
            (panels[0], recording.acc, "m/s²"),
            (panels[1], np.degrees(recording.gyro), "°/s"),
        ):
            for axis, name in enumerate(AXES_NAMES):
                _line(panel, time, values[:, axis], COLORS[axis], name, width=0.9)
            panel.set_ylabel(label)
        for column, (panel, muscle) in enumerate(zip(panels[2:], recording.muscles, strict=True)):
            _line(panel, time, recording.emg[:, column], COLORS[0], "raw", width=0.6, alpha=0.55)
            if envelope is not None:
                _line(panel, time, envelope[:, column], COLORS[1], "envelope", width=1.4)
            panel.set_ylabel(f"{muscle}\nmV")
        _finish(panels, time, recording.name if title is None else title)
    return figure


def _panels(rows: int, height: float) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(8.5, 0.5 + height * rows), layout="constrained")
    panels = figure.subplots(rows, 1, sharex=True, squeeze=False)
    return figure, list(panels[:, 0])


def _finish(panels: list[Axes], time: NDArray[np.float64], title: str) -> None:
    if title:
        panels[0].set_title(title)
    for panel in panels:
        panel.legend(loc="upper left", bbox_to_anchor=(1.0, 1.02), borderaxespad=0.3)
        panel.margins(x=0.0)
    if time.size > 1:
        panels[0].set_xlim(float(time[0]), float(time[-1]))
    panels[-1].set_xlabel("time (s)")


def _line(
    panel: Axes,
    time: NDArray[np.float64],
    values: NDArray[np.float64],
    color: str,
    label: str,
    *,
    width: float = 1.2,
    alpha: float = 1.0,
    fill: bool = False,
) -> None:
    """Draw one curve; a long one as the lowest and highest value of each picture column."""
    if values.size > 2 * COLUMNS:
        step = -(-values.size // COLUMNS)
        whole = values.size // step * step
        blocks = values[:whole].reshape(-1, step)
        # Two points a column keep every peak, at a fraction of the file.
        values = np.stack([blocks.min(axis=1), blocks.max(axis=1)], axis=1).ravel()
        times = time[:whole].reshape(-1, step)
        time = np.stack([times[:, 0], times[:, step // 2]], axis=1).ravel()
    if fill:
        panel.fill_between(time, values, color=FAINT, linewidth=0.0)
    panel.plot(time, values, color=color, label=label, linewidth=width, alpha=alpha)


def _columns(name: str, values: ArrayLike, n: int) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim != 2 or array.shape[0] != n:
        raise ConfigError(f"{name}: shape {np.shape(values)}, expected {n} samples as in time")
    return array


def _cycle() -> Sequence[str]:
    return COLORS * 3
