"""The monitor's page: one Bokeh document a browser tab, kept in step with the session.

What Bokeh cannot do is in small files beside this one: `page.js` (keyboard, theme, latency as the
browser sees it, and texts, since a Bokeh `Div` parses its style sheet and lays itself out anew with
every change, which took a fifth of the browser's time), `page.css` (layout and colours) and
`widgets.css` (the same colours inside Bokeh's widgets).
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from html import escape
from importlib import resources
from typing import Any

import numpy as np
from bokeh.core.properties import Bool, Dict, Float, Int, List, String
from bokeh.document import Document
from bokeh.events import ButtonClick, DocumentReady, ValueSubmit
from bokeh.model import DataModel
from bokeh.models.callbacks import CustomJS
from bokeh.models.css import InlineStyleSheet
from bokeh.models.formatters import CustomJSTickFormatter, PrintfTickFormatter
from bokeh.models.grids import Grid
from bokeh.models.layouts import Column, LayoutDOM
from bokeh.models.ranges import Range1d
from bokeh.models.sources import ColumnDataSource
from bokeh.models.tickers import BasicTicker
from bokeh.models.ui.ui_element import UIElement
from bokeh.models.widgets.buttons import Button, Toggle
from bokeh.models.widgets.groups import RadioButtonGroup
from bokeh.models.widgets.inputs import TextInput
from bokeh.models.widgets.sliders import RangeSlider, Slider
from bokeh.plotting import figure
from numpy.typing import NDArray

from myowave.errors import MyowaveError
from myowave.link import Identity
from myowave.live import words
from myowave.live.activation import Activation, Activity
from myowave.live.history import History, View
from myowave.live.look import DARK, LIGHT, Look
from myowave.live.recorded_emg import RecordedEmg
from myowave.live.session import Listener, RecordingStatus, Session, Status
from myowave.live.settings import THEMES, WINDOW_RANGE_S, MonitorSettings

# Time between two updates of the curves; what a tab cannot keep up with is not sent.
UPDATE_MS = 28
# Digits that change more often cannot be read.
NUMBERS_S = 0.2
# One update is sent while the last one is painted, no more: a slow tab gets fewer, and none late.
# (After the last one was painted is too late: 15 updates a second in place of 23.) A tab that
# paints nothing, as it is in the background, gets one now and then.
UNPAINTED_UPDATES = 1
UNPAINTED_S = 1.0
# Two points a bin: the curve has one for two pixels of a wide screen. Ten seconds at 1 kHz make
# bins of 32 samples, two of those that the history keeps.
BINS = 320
# Recorded with a moment's delay, so that a person reads it before it goes.
MESSAGE_S = 8.0
MAX_MARKERS = 1000
# Labels of markers that follow one another closely stand one below the other.
MARKER_ROWS = 3
MAX_SPANS = 500
AXES = ("x", "y", "z")
SENSORS = (("Acceleration", "m/s²"), ("Rotation", "rad/s"))
# Of the envelope's axis, in per cent: room for the thickness of a line at 0 and 100.
Y_MARGIN = 4.0
Y_STEP = 25.0
# Half of a raw axis at least, in m/s² and rad/s: noise at rest is not blown up to fill the plot.
RAW_LEAST = (2.0, 0.5)
FOREVER_S = 1e9


def _text(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


class Markers(Listener):
    """The newest markers, placed on the time axis of a history.

    Attributes
    ----------
    placed : deque of (float, str)
        Seconds of the history, and label.
    version : int
        Grows with every marker.
    """

    def __init__(self, history: History) -> None:
        self._history = history
        self.placed: deque[tuple[float, str]] = deque(maxlen=MAX_MARKERS)
        self.version = 0

    def on_event(self, event: str, host_s: float, details: dict[str, Any]) -> None:
        """Take a marker."""
        if event == "marker" and self._history.total:
            newest_s = self._history.newest_s
            after_s = host_s - self._history.host_s(newest_s)
            self.placed.append((newest_s + after_s, str(details.get("label", ""))))
            self.version += 1


@dataclass
class Monitor:
    """What all tabs share.

    Attributes
    ----------
    session, history, settings, recorded_emg
        As for `server.serve`.
    last_recording : RecordingStatus or None
        The newest there was.
    """

    session: Session
    history: History
    settings: MonitorSettings
    recorded_emg: RecordedEmg | None
    markers: Markers = field(init=False)
    last_recording: RecordingStatus | None = None

    def __post_init__(self) -> None:
        """Read what every tab needs."""
        self.markers = Markers(self.history)
        # Bokeh takes a text, too.
        self.template: Any = _text("page.html.j2")
        self.assets = {name: _text(f"page.{name}") for name in ("css", "js")}
        self.widget_style = _text("widgets.css")

    def open_tab(self, document: Document) -> None:
        """Fill the document of a tab that was opened."""
        Page(self, document)

    def status(self) -> Status:
        """Return how the session stands; remembers the recording."""
        status = self.session.status()
        if status.recording is not None:
            self.last_recording = status.recording
        return status


class Tab(DataModel):
    """What server and browser tell each other beside the widgets' values.

    From the server: texts as HTML by the id of the element they belong in; the bars of each muscle
    in per cent (level, peak); `number` of the newest update, and Unix times at which its newest
    sample and that of the update before were measured. From the browser: the rest.
    """

    texts = Dict(String, String)
    bars = List(List(Int))
    thresholds = List(Int)
    number = Int(default=0)
    newest_host_s = Float(default=0.0)
    previous_host_s = Float(default=0.0)

    painted = Int(default=0)
    dark = Bool(default=False)
    latency_ms = Float(default=0.0)
    updates_hz = Float(default=0.0)
    # A shortcut and how often one was used, so that the same one twice is two changes.
    command = String(default="")


class Page:
    """One tab: its widgets, its curves, and where in time it looks.

    Parameters
    ----------
    monitor : Monitor
    document : Document
        Empty; filled here.
    """

    def __init__(self, monitor: Monitor, document: Document) -> None:
        settings = monitor.settings
        self._monitor = monitor
        self._document = document
        # For mypy the values of a model's properties are properties.
        self._tab: Any = Tab(name="tab", dark=settings.theme == "dark")
        self._end_s: float | None = None  # where a paused view ends
        self._drawn: tuple[object, ...] = ()  # what the curves were last drawn from
        self._previous_s = 0.0
        self._followed_s = -np.inf  # newest sample the activation has taken
        self._numbers_due = 0.0
        self._sent = 0.0
        self._message_until = 0.0
        self._built: tuple[object, ...] = ()
        self._identity: Identity | None = None
        self._markers_version = -1
        self._activation = Activation(settings.threshold_on, settings.threshold_off)
        self._plots = _Plots((), emg=False)

        self._sheet = InlineStyleSheet(css=monitor.widget_style)
        self._texts: dict[str, str] = {}
        self._stage = Column(name="stage", sizing_mode="stretch_both")
        # Part of the document by being referred to: it has no place on the page.
        self._stage.tags = [self._tab]
        for root in (self._stage, *self._make_controls(settings), *self._make_recorder()):
            document.add_root(root)
        document.title = "MyoWave monitor"
        document.config.notify_connection_status = False  # `page.js` does, in words
        document.template = monitor.template
        document.template_variables.update(
            style=monitor.assets["css"], script=monitor.assets["js"], theme=settings.theme
        )
        self._tab.on_change("dark", lambda attr, old, new: self._show_look())
        self._tab.on_change("command", lambda attr, old, new: self._obey(new))
        document.js_on_event(
            DocumentReady, CustomJS(args={"tab": self._tab}, code="myowave.attach(tab)")
        )
        # A tab that has painted late is waiting for what is new.
        self._tab.on_change("painted", lambda attr, old, new: self._update_if_late())
        self.update()
        document.add_periodic_callback(self.update, UPDATE_MS)

    # ---- widgets -----------------------------------------------------------------------------

    def _button(self, name: str, label: str, act: Callable[[], None], width: int) -> Button:
        button = Button(name=name, label=label, width=width, height=36, stylesheets=[self._sheet])
        button.on_event(ButtonClick, act)
        return button

    def _toggle(self, name: str, label: str, width: int, active: bool = False) -> Toggle:
        return Toggle(
            name=name,
            label=label,
            active=active,
            width=width,
            height=36,
            stylesheets=[self._sheet],
        )

    def _make_controls(self, settings: MonitorSettings) -> list[LayoutDOM]:
        sheet: list[Any] = [self._sheet]
        low, high = WINDOW_RANGE_S
        self._window = Slider(
            name="window",
            title="Window",
            start=low,
            end=high,
            step=1,
            value=settings.window_s,
            format=PrintfTickFormatter(format="%d s"),
            width=190,
            stylesheets=sheet,
        )
        self._threshold = RangeSlider(
            name="threshold",
            title="Rest below, active from",
            start=1,
            end=100,
            step=1,
            value=(100 * settings.threshold_off, 100 * settings.threshold_on),
            format=PrintfTickFormatter(format="%d %%"),
            width=290,
            stylesheets=sheet,
        )
        self._pause = self._toggle("pause", "Pause", 84)
        self._lock = self._toggle("lock", "Lock y-axis", 112)
        self._raw = self._toggle("raw", "Raw channels", 128, settings.show_raw)
        self._theme = RadioButtonGroup(
            name="theme",
            labels=["Auto", "Light", "Dark"],
            active=THEMES.index(settings.theme),
            width=190,
            height=36,
            stylesheets=sheet,
        )
        self._threshold.on_change("value", lambda attr, old, new: self._set_thresholds())
        self._pause.on_change("active", lambda attr, old, new: self._set_pause(new))
        self._raw.on_change("active", lambda attr, old, new: self._show_raw())
        self._theme.js_on_change(
            "active", CustomJS(code="myowave.choose(cb_obj.labels[cb_obj.active].toLowerCase())")
        )
        self._scroll = Slider(
            name="scroll",
            title="Scroll back",
            start=0.0,
            end=1.0,
            step=0.1,
            value=1.0,
            show_value=False,
            sizing_mode="stretch_width",
            stylesheets=sheet,
        )
        self._scroll.on_change("value", lambda attr, old, new: self._scrolled(new))
        self._live = self._button("live", "Back to live", self._go_live, 120)
        self._live.visible = self._scroll.visible = False
        return [
            self._window,
            self._threshold,
            self._pause,
            self._lock,
            self._raw,
            self._theme,
            self._scroll,
            self._live,
        ]

    def _make_recorder(self) -> list[LayoutDOM]:
        sheet: list[Any] = [self._sheet]
        self._record = self._toggle("record", "● Record", 110)
        self._record.css_classes = ["record"]
        self._record.on_change("active", lambda attr, old, new: self._set_recording(new))
        self._label = TextInput(
            name="label", placeholder="marker's label", width=150, stylesheets=sheet
        )
        self._label.on_event(ValueSubmit, self._mark)
        self._note = TextInput(name="note", placeholder="note", width=220, stylesheets=sheet)
        self._note.on_event(ValueSubmit, self._add_note)
        return [
            self._record,
            self._label,
            self._button("mark", "Mark", self._mark, 70),
            self._note,
            self._button("addnote", "Add note", self._add_note, 100),
        ]

    # ---- what a person asks for --------------------------------------------------------------

    def _obey(self, command: str) -> None:
        """Carry out a keyboard shortcut; `page.js` knows the keys."""
        name = command.partition(" ")[0]
        if name in ("pause", "lock", "raw", "record"):
            toggle: Toggle = getattr(self, f"_{name}")
            toggle.active = not toggle.active
        elif name in ("wider", "narrower"):
            factor = 1.25 if name == "wider" else 0.8
            low, high = WINDOW_RANGE_S
            value = round(self._window.value * factor)
            self._window.value = min(max(value, low), high)
        elif name in ("back", "forward"):
            self._pause.active = True
            step = self._window.value / 4
            assert self._end_s is not None
            self._show_until(self._end_s + (step if name == "forward" else -step))
        elif name == "live":
            self._go_live()
        elif name == "mark":
            self._mark()
        elif name == "restart":
            self._monitor.session.restart()

    def _set_pause(self, paused: bool) -> None:
        self._end_s = self._monitor.history.newest_s if paused else None
        self._pause.label = "Resume" if paused else "Pause"
        self._scroll.visible = self._live.visible = paused
        self._texts["scroll"] = ""
        if paused:
            self._show_until(self._monitor.history.newest_s)

    def _go_live(self, _: object = None) -> None:
        self._pause.active = False

    def _show_until(self, end_s: float) -> None:
        """Have a paused view end at a time, as far as there are samples."""
        history = self._monitor.history
        newest_s = history.newest_s
        first_s = min(history.oldest_s + self._window.value, newest_s)
        self._end_s = float(np.clip(end_s, first_s, newest_s))
        self._scroll.update(
            start=first_s, end=max(newest_s, first_s + self._scroll.step), value=self._end_s
        )

    def _scrolled(self, end_s: float) -> None:
        if self._end_s is not None:
            self._end_s = end_s

    def _set_thresholds(self) -> None:
        off, on = self._threshold.value
        self._activation = Activation(on / 100, off / 100)
        self._followed_s = -np.inf
        self._plots.set_thresholds(off, on)
        self._tab.thresholds = [round(off), round(on)]

    def _set_recording(self, on: bool) -> None:
        session = self._monitor.session
        running = session.status().recording is not None
        try:
            if on and not running:
                path = self._monitor.settings.next_recording()
                path.parent.mkdir(parents=True, exist_ok=True)
                session.start_recording(path)
            elif not on and running:
                session.stop_recording()
        except MyowaveError as error:
            self._say(str(error), bad=True)
        except OSError as error:
            folder = self._monitor.settings.record_dir
            self._say(f"{folder}: cannot make this folder ({error.strerror})", bad=True)
        # Shown by the next update: Bokeh sends what is set in here before the change it answers.
        self._numbers_due = 0.0

    def _mark(self, _: object = None) -> None:
        label = self._label.value_input.strip() or "marker"
        kept = self._monitor.session.marker(label)
        self._say(f"marked: {label}" + ("" if kept else " (no recording runs: not kept)"))

    def _add_note(self, _: object = None) -> None:
        text = self._note.value_input.strip()
        if not text:
            self._say("a note needs a text", bad=True)
            return
        if not self._monitor.session.note(text):
            self._say("no recording runs: the note is not kept", bad=True)
            return
        self._note.update(value="", value_input="")
        self._say("note added")

    def _say(self, text: str, bad: bool = False) -> None:
        kind = "bad" if bad else "good"
        self._texts["message"] = f'<p class="{kind}">{escape(text)}</p>'
        self._message_until = time.monotonic() + MESSAGE_S

    # ---- what is shown -----------------------------------------------------------------------

    def _update_if_late(self) -> None:
        if time.monotonic() - self._sent >= UPDATE_MS / 1000:
            self.update()

    def update(self) -> None:
        """Bring the tab up to date; called all the time."""
        status = self._monitor.status()
        self._document.hold("combine")
        try:
            if status.identity is not None and status.identity != self._identity:
                self._identity = status.identity
                self._build()
            activity = self._follow()
            now = time.monotonic()
            if now >= self._numbers_due:
                self._numbers_due = now + NUMBERS_S
                self._show_words(status, now)
                self._show_numbers(activity, stale=status.state != "live")
                self._tab.texts = dict(self._texts)
            unpainted = self._tab.number - self._tab.painted
            if unpainted <= UNPAINTED_UPDATES or now - self._sent > UNPAINTED_S:
                self._sent = now
                self._show_meters(activity)
                self._draw()
        finally:
            self._document.unhold()

    def _build(self) -> None:
        """Make the plots of these muscles, unless they are there.

        Else they are kept, whatever changes: a browser's document does not let go of old ones.
        """
        muscles = self._monitor.history.muscles
        with_emg = self._emg_columns() is not None
        if (muscles, with_emg) == self._built:
            return
        self._built = (muscles, with_emg)
        self._plots = _Plots(muscles, emg=with_emg)
        self._stage.children = self._plots.rows
        self._markers_version = -1
        self._set_thresholds()
        self._show_look()
        self._show_raw()

    def _show_look(self) -> None:
        look = DARK if self._tab.dark else LIGHT
        self._document.theme = look.theme()
        self._plots.set_look(look)

    def _show_raw(self) -> None:
        """Show the raw channels or hide them; once asked for, the board goes on sending them."""
        if self._raw.active:
            self._monitor.session.set_raw(True)
        self._plots.set_raw(self._raw.active)
        self._drawn = ()

    def _emg_columns(self) -> list[int] | None:
        """Return the recorded sEMG's column of each muscle, -1 for none; None without any."""
        emg = self._monitor.recorded_emg
        muscles = self._monitor.history.muscles
        if emg is None or not set(muscles) & set(emg.muscles):
            return None
        return [emg.muscles.index(name) if name in emg.muscles else -1 for name in muscles]

    def _follow(self) -> Activity:
        """Have the activation take the samples since the last call."""
        # A tab that begins looks back far enough to know the state, not over all there is.
        samples = self._monitor.history.since(self._followed_s, self._window.value)
        known = ~samples.warm_up
        activity = self._activation.update(samples.envelope[known], samples.time_s[known])
        if len(samples.time_s):
            self._followed_s = float(samples.time_s[-1])
            self._plots.follow(activity, self._followed_s)
        return activity

    def _show_words(self, status: Status, now: float) -> None:
        self._texts["identity"] = words.identity(status)
        self._texts["banner"] = words.banner(status)
        self._texts["health"] = words.health(
            status, words.Screen(self._tab.latency_ms, self._tab.updates_hz)
        )
        self._show_recording(status)
        if now > self._message_until:
            self._texts["message"] = ""
        if self._end_s is not None:
            newest_s = self._monitor.history.newest_s
            self._scroll.end = max(newest_s, self._scroll.start + self._scroll.step)
            begin_s = max(0.0, self._end_s - self._window.value)
            self._texts["scroll"] = (
                f"<b>Paused</b> at {words.clock(begin_s)} to {words.clock(self._end_s)} of "
                f"{words.clock(newest_s)}; data go on being received"
                + (" and recorded" if status.recording is not None else "")
            )

    def _show_recording(self, status: Status) -> None:
        on = status.recording is not None
        # Another tab, or another model, may have ended it.
        self._record.update(active=on, label="■ Stop" if on else "● Record")
        self._texts["file"] = words.recording(
            status.recording, self._monitor.last_recording, self._monitor.settings.record_dir
        )

    def _show_meters(self, activity: Activity) -> None:
        """Move the bars beside the curves."""
        self._tab.bars = [
            [_bar(level), _bar(peak)]
            for level, peak in zip(activity.level, activity.peak, strict=True)
        ]

    def _show_numbers(self, activity: Activity, *, stale: bool) -> None:
        """Write the numbers beside the curves; pale where they are no longer those of now."""
        history = self._monitor.history
        look = DARK if self._tab.dark else LIGHT
        muscles = history.muscles
        columns = self._emg_columns()
        emg = None
        if columns is not None:
            emg = self._emg_at(np.array([history.newest_s]), columns)[0]
        tiles = [
            words.muscle_tile(
                name,
                look.muscle(index),
                float(activity.level[index]),
                float(activity.peak[index]),
                active=bool(activity.active[index]),
                emg=None if emg is None else float(emg[index]),
            )
            for index, name in enumerate(muscles)
        ]
        if self._raw.active and self._identity is not None:
            samples = history.latest(NUMBERS_S)
            counts = samples.counts[~np.isnan(samples.counts).any(axis=1)]
            mean = counts.mean(axis=0) if len(counts) else np.full(6, np.nan)
            values = (mean * _lsb(self._identity)).reshape(len(SENSORS), len(AXES))
            tiles += [
                words.raw_tile(name, unit, dict(zip(look.axes, of_axes, strict=True)))
                for (name, unit), of_axes in zip(SENSORS, values, strict=True)
            ]
        self._texts["tiles"] = words.tiles(tiles, len(muscles), stale=stale)

    def _draw(self) -> None:
        """Send the curves, unless the tab has just these."""
        history = self._monitor.history
        newest_s = history.newest_s
        end_s = newest_s if self._end_s is None else self._end_s
        window_s = self._window.value
        # What has just begun grows from the left.
        end_s = max(end_s, window_s)
        markers = self._monitor.markers
        if markers.version != self._markers_version:
            self._markers_version = markers.version
            self._plots.show_markers(list(markers.placed))
        drawn = (end_s, window_s, self._lock.active, history.total if end_s >= newest_s else 0)
        if drawn == self._drawn or self._identity is None or not history.total:
            return
        self._drawn = drawn
        view = history.view(end_s - window_s, end_s, BINS)
        emg = None
        columns = self._emg_columns()
        if columns is not None:
            emg = self._emg_at(_places(view.time_s), columns)
        self._plots.draw(view, emg, _lsb(self._identity), fit=not self._lock.active)
        self._plots.end_activity(newest_s if end_s > newest_s else FOREVER_S)
        self._plots.time_range.update(start=end_s - window_s, end=end_s)
        if self._end_s is None:
            # In this order: the browser measures when it sees the number change.
            self._tab.newest_host_s = history.host_s(newest_s)
            self._tab.previous_host_s = history.host_s(self._previous_s)
            self._tab.number += 1
        self._previous_s = newest_s

    def _emg_at(self, time_s: NDArray[np.float64], columns: list[int]) -> NDArray[np.float64]:
        """Return the recorded envelope (n, m) of each muscle at times (n,), NaN where unknown."""
        assert self._monitor.recorded_emg is not None
        ticks = self._monitor.history.ticks(time_s)
        known = self._monitor.recorded_emg.at(ticks)
        padded = np.column_stack([known, np.full(len(known), np.nan)])
        values: NDArray[np.float64] = padded[:, columns]
        return values


def _lsb(identity: Identity) -> NDArray[np.float64]:
    """Return m/s² or rad/s of one count, for each of the six channels."""
    return np.repeat([identity.acc_lsb_m_s2, identity.gyro_lsb_rad_s], 3)


class _Plots:
    """The rows of the stage: one a muscle, two for the raw channels, and the time axis.

    Parameters
    ----------
    muscles : tuple of str
    emg : bool
        Whether there are curves of recorded sEMG.
    """

    def __init__(self, muscles: tuple[str, ...], *, emg: bool) -> None:
        self._muscles = muscles
        self._with_emg = emg
        self._with_raw = False
        # What changes its colour with the look: a model, its property, and where the colour is.
        self._coloured: list[tuple[Any, str, Callable[[Look], str]]] = []
        self.time_range = Range1d(start=-10.0, end=0.0)
        self._y_range = Range1d(start=-Y_MARGIN, end=100.0 + Y_MARGIN)
        self._raw_ranges = [Range1d(start=-least, end=least) for least in RAW_LEAST]
        columns = ["time", *(f"envelope{i}" for i in range(len(muscles)))]
        if emg:
            columns += [f"emg{i}" for i in range(len(muscles))]
        self._source = _empty(columns)
        self._raw_source = _empty(["time", *(f"raw{i}" for i in range(6))])
        self._marks = ColumnDataSource({"time": [], "label": [], "drop": []})
        self._spans = [ColumnDataSource({"left": [], "right": []}) for _ in muscles]
        self._thresholds = ColumnDataSource({"y": [0.0, 0.0], "dash": ["dashed", "dotted"]})
        self._was_active = np.zeros(len(muscles), bool)
        self._raw_plots = [self._raw_plot(sensor) for sensor in range(len(SENSORS))]
        self.rows: list[UIElement] = []
        if muscles:
            self.rows += [self._muscle_plot(index) for index in range(len(muscles))]
            self.rows += [*self._raw_plots, self._time_axis()]

    # ---- making them -------------------------------------------------------------------------

    def _figure(self, y_range: Range1d, weight: int, **options: Any) -> figure:
        plot = figure(
            x_range=self.time_range,
            y_range=y_range,
            tools="",
            toolbar_location=None,
            title=None,
            # The time axis is a row of its own.
            x_axis_type=None,
            sizing_mode="stretch_both",
            # Fixed, so that the time axes of all rows are one above the other.
            min_border_left=68,
            min_border_right=18,
            min_border_top=6,
            min_border_bottom=6,
            styles={"flex": f"{weight} 1 0"},
            **options,
        )
        plot.add_layout(Grid(dimension=0, ticker=BasicTicker()))
        plot.yaxis.ticker = BasicTicker(desired_num_ticks=4, num_minor_ticks=0)
        return plot

    def _muscle_plot(self, index: int) -> figure:
        def colour(look: Look) -> str:
            return look.muscle(index)

        plot = self._figure(self._y_range, words.MUSCLE_WEIGHT, name=f"muscle{index}")
        plot.yaxis.formatter = PrintfTickFormatter(format="%d %%")
        active = plot.quad(
            left="left",
            right="right",
            bottom=-1e4,
            top=1e4,
            source=self._spans[index],
            fill_alpha=0.12,
            line_color=None,
            level="underlay",
        )
        self._coloured.append((active.glyph, "fill_color", colour))
        thresholds = plot.hspan(y="y", source=self._thresholds, line_dash="dash", line_alpha=0.7)
        self._coloured.append((thresholds.glyph, "line_color", _muted))
        if self._with_emg:
            recorded = plot.line("time", f"emg{index}", source=self._source, line_width=2)
            self._coloured.append((recorded.glyph, "line_color", _muted))
        curve = plot.line(
            "time",
            f"envelope{index}",
            source=self._source,
            line_width=2,
            name="curve",
        )
        self._coloured.append((curve.glyph, "line_color", colour))
        self._add_markers(plot, labels=index == 0)
        return plot

    def _raw_plot(self, sensor: int) -> figure:
        plot = self._figure(
            self._raw_ranges[sensor], words.RAW_WEIGHT, name=f"sensor{sensor}", visible=False
        )
        for axis in range(len(AXES)):
            curve = plot.line(
                "time", f"raw{3 * sensor + axis}", source=self._raw_source, line_width=1
            )
            self._coloured.append((curve.glyph, "line_color", _of_axis(axis)))
        self._add_markers(plot, labels=False)
        return plot

    def _add_markers(self, plot: figure, labels: bool) -> None:
        lines = plot.vspan(x="time", source=self._marks, line_alpha=0.6, line_width=1.5)
        self._coloured.append((lines.glyph, "line_color", _ink))
        if labels:
            texts = plot.text(
                x="time",
                y=100.0 + Y_MARGIN,
                text="label",
                source=self._marks,
                text_font_size="14px",
                text_baseline="top",
                x_offset=5,
                y_offset="drop",
            )
            self._coloured.append((texts.glyph, "text_color", _ink))

    def _time_axis(self) -> figure:
        plot = figure(
            x_range=self.time_range,
            y_range=Range1d(start=0.0, end=1.0),
            tools="",
            toolbar_location=None,
            title=None,
            y_axis_type=None,
            sizing_mode="stretch_width",
            height=words.TIME_HEIGHT_PX,
            min_border_left=68,
            min_border_right=18,
            min_border_top=0,
            min_border_bottom=0,
            outline_line_color=None,
            name="time",
        )
        plot.grid.visible = False
        plot.xaxis.axis_label = "time since the first sample (min:s)"
        plot.xaxis.formatter = CustomJSTickFormatter(code="return myowave.clock(tick)")
        return plot

    # ---- keeping them up to date -------------------------------------------------------------

    def set_look(self, look: Look) -> None:
        """Take the colours of a look."""
        for model, name, pick in self._coloured:
            setattr(model, name, pick(look))

    def set_raw(self, shown: bool) -> None:
        """Show the raw channels, or not."""
        self._with_raw = shown
        for plot in self._raw_plots:
            plot.visible = shown

    def set_thresholds(self, off: float, on: float) -> None:
        """Show the thresholds, in per cent."""
        self._thresholds.data = {"y": [on, off], "dash": ["dashed", "dotted"]}

    def follow(self, activity: Activity, now_s: float) -> None:
        """Mark where a muscle became active or came to rest."""
        for index in np.flatnonzero(activity.active != self._was_active):
            old = self._spans[index].data
            left, right = list(old["left"]), list(old["right"])
            if activity.active[index]:
                left.append(now_s)
                right.append(FOREVER_S)
            else:
                right[-1] = now_s
            self._spans[index].data = {"left": left[-MAX_SPANS:], "right": right[-MAX_SPANS:]}
        self._was_active = activity.active

    def end_activity(self, end_s: float) -> None:
        """Have what is active now end in the plot at a time: where the curve ends, or beyond."""
        for index in np.flatnonzero(self._was_active):
            right = list(self._spans[index].data["right"])
            if right and right[-1] != end_s:
                left = self._spans[index].data["left"]
                self._spans[index].data = {"left": left, "right": [*right[:-1], end_s]}

    def show_markers(self, markers: list[tuple[float, str]]) -> None:
        """Draw the markers: times and labels."""
        self._marks.data = {
            "time": [time_s for time_s, _ in markers],
            "label": [label for _, label in markers],
            "drop": [4 + 18 * (index % MARKER_ROWS) for index in range(len(markers))],
        }

    def draw(
        self, view: View, emg: NDArray[np.float64] | None, lsb: NDArray[np.float64], fit: bool
    ) -> None:
        """Send the curves: in each bin from its lowest to its highest value.

        Parameters
        ----------
        view : View
        emg : (2k, m) array or None
            Recorded envelope at the edges of the bins.
        lsb : (6,) array
            Physical value of one raw count.
        fit : bool
            Whether the y-axes follow what is in view.
        """
        times = _places(view.time_s)
        data: dict[str, NDArray[Any]] = {"time": times}
        low, high = 100 * view.low, 100 * view.high
        for index in range(len(self._muscles)):
            data[f"envelope{index}"] = _zigzag(low[:, index], high[:, index])
            if self._with_emg and emg is not None:
                data[f"emg{index}"] = (100 * emg[:, index]).astype(np.float32)
        self._source.data = data
        raw_low, raw_high = view.raw_low * lsb, view.raw_high * lsb
        if self._with_raw:
            raw: dict[str, NDArray[Any]] = {"time": times}
            for channel in range(6):
                raw[f"raw{channel}"] = _zigzag(raw_low[:, channel], raw_high[:, channel])
            self._raw_source.data = raw
        if fit:
            self._fit(low, high, emg, np.maximum(-raw_low, raw_high))

    def _fit(
        self,
        low: NDArray[np.float32],
        high: NDArray[np.float32],
        emg: NDArray[np.float64] | None,
        raw: NDArray[np.float64],
    ) -> None:
        highest = max(_highest(high), 0.0 if emg is None else 100 * _highest(emg), 100.0)
        lowest = -max(_highest(-low) - Y_MARGIN, 0.0)
        self._y_range.start = Y_STEP * np.floor(lowest / Y_STEP) - Y_MARGIN
        self._y_range.end = Y_STEP * np.ceil((highest - Y_MARGIN) / Y_STEP) + Y_MARGIN
        for sensor, (span, least) in enumerate(zip(self._raw_ranges, RAW_LEAST, strict=True)):
            reach = _nice(max(_highest(raw[:, 3 * sensor : 3 * sensor + 3]), least))
            span.update(start=-reach, end=reach)


def _empty(columns: list[str]) -> ColumnDataSource:
    return ColumnDataSource({name: np.zeros(0, np.float32) for name in columns})


def _ink(look: Look) -> str:
    return look.ink


def _muted(look: Look) -> str:
    return look.muted


def _of_axis(axis: int) -> Callable[[Look], str]:
    return lambda look: look.axes[axis]


def _bar(fraction: float) -> int:
    """Return a fraction as the length of a bar, in per cent; 0 where there is none."""
    return round(float(np.clip(np.nan_to_num(100 * fraction), 0.0, 100.0)))


def _places(time_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (2k,) evenly spaced times, two in each of the bins whose (k,) middles are given."""
    width_s = time_s[1] - time_s[0] if len(time_s) > 1 else 0.0
    return (time_s[:, np.newaxis] + np.array([-0.25, 0.25]) * width_s).ravel()


def _zigzag(low: NDArray[Any], high: NDArray[Any]) -> NDArray[np.float32]:
    """Return (2k,) float32 from (k,) lowest and highest values: two points for each bin.

    Where the curve falls the highest comes first, so that a slope is no staircase.
    """
    middle = low + high
    falls = np.append(middle[1:] < middle[:-1], False)
    pairs = np.stack([np.where(falls, high, low), np.where(falls, low, high)], axis=1)
    return pairs.ravel().astype(np.float32)


def _highest(values: NDArray[Any]) -> float:
    """Return the highest finite value, 0 where there is none."""
    return float(np.max(values, initial=0.0, where=np.isfinite(values)))


def _nice(value: float) -> float:
    """Return the next of 1, 2, 5, 10, 20, 50, ... times a power of ten, a twentieth above."""
    power = 10.0 ** np.floor(np.log10(value))
    for step in (1.0, 2.0, 5.0, 10.0):
        if value <= step * power:
            return float(1.05 * step * power)
    return float(10.5 * power)
