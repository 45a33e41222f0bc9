"""The monitor in a terminal, such as over ssh: curves, bars, health, recording, by keyboard."""

import math
import re
import threading
import time
from functools import cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.color import Color
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Footer, Input, Label, Static
from textual_plotext import Plot

from myowave.errors import MyowaveError
from myowave.live.activation import Activation, Activity
from myowave.live.history import History
from myowave.live.session import RecordingStatus, Session, Status
from myowave.live.settings import WINDOW_RANGE_S, MonitorSettings

UPDATES_HZ = 10.0
# Curves of a large terminal or on a slow computer are drawn less often than the rest.
DRAWING_SHARE = 0.12
WINDOWS_S = (2.0, 5.0, 10.0, 20.0, 30.0, 60.0)
# Okabe & Ito, Color universal design (2008): apart for colour-blind people too, each where it
# stands out from the background. A muscle has the colour that it has on the page.
_ON_DARK = ("#56B4E9", "#E69F00", "#1FBF92", "#CC79A7", "#F0E442", "#E8743B")
_ON_LIGHT = ("#0072B2", "#D55E00", "#009E73", "#B85C94", "#B07A00", "#3D8FC4")
# What of a bar is not filled.
_TRACK_ON_DARK, _TRACK_ON_LIGHT = "#2B333E", "#C8CED6"
_DARK, _LIGHT = "textual-dark", "textual-light"
_EIGHTHS = " ▏▎▍▌▋▊▉"
# Identity, health, file, footer.
_OTHER_ROWS = 4
_LEAST_PLOT_ROWS = 9


def run_tui(
    session: Session, history: History, stop: threading.Event, settings: MonitorSettings
) -> None:
    """Show the monitor until `stop` is set or the user leaves, which sets it.

    Parameters
    ----------
    session, history
        What is followed; run by others.
    stop : threading.Event
    settings : MonitorSettings
    """
    MonitorApp(session, history, stop, settings).run()
    stop.set()


class Curves(Widget):
    """Lines of braille dots.

    In place of textual-plotext's own widget, which sends each drawing through two general-purpose
    parsers: half of what a drawing costs.
    """

    def __init__(self, id: str) -> None:
        super().__init__(id=id)
        self.plot = Plot()
        self._strips: list[Strip] = []

    def draw(self) -> None:
        """Show what has been plotted, in the colours of the theme."""
        width, height = self.size
        back, ink = (
            Color.parse(self.app.theme_variables[name]).rgb for name in ("background", "foreground")
        )
        self.plot.canvas_color(back)
        self.plot.axes_color(back)
        self.plot.ticks_color(ink)
        self.plot.plotsize(width, height)
        self._strips = [strip(line) for line in self.plot.build().splitlines()]
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """Return one line of the drawing."""
        return self._strips[y] if y < len(self._strips) else Strip.blank(self.size.width)


_ESCAPED = re.compile(r"((?:\x1b\[[\d;]*m)*)([^\x1b]*)")


def strip(line: str) -> Strip:
    """Convert a line with colours as a terminal understands them."""
    parts = _ESCAPED.findall(line)
    return Strip([Segment(text, _style(codes)) for codes, text in parts if text])


@cache
def _style(codes: str) -> Style:
    style = Style.null()
    for span in Text.from_ansi(f"{codes}x").spans:
        assert isinstance(span.style, Style)
        style += span.style
    return style


class Ask(ModalScreen[str | None]):
    """Asks for one line of text; None when the user leaves it."""

    CSS = """
    Ask { align: center bottom; }
    Ask Vertical { height: auto; background: $panel; border: round $primary; padding: 0 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "Leave")]

    def __init__(self, question: str, default: str = "") -> None:
        super().__init__()
        self._question = question
        self._default = default

    def compose(self) -> ComposeResult:
        """Lay out the question."""
        with Vertical():
            yield Label(f"{self._question} (Enter takes it, Esc leaves)")
            yield Input(self._default, select_on_focus=True)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Give the answer."""
        self.dismiss(event.value.strip() or None)

    def action_leave(self) -> None:
        """Give none."""
        self.dismiss(None)


class MonitorApp(App[None]):
    """The terminal's screen.

    Parameters
    ----------
    session, history
        What is followed; run by others.
    stop : threading.Event
        Closes the screen.
    settings : MonitorSettings
    """

    ENABLE_COMMAND_PALETTE = False
    CSS = """
    Screen { layout: vertical; }
    #identity, #health, #file { height: 1; padding: 0 1; text-wrap: nowrap; }
    #identity { background: $primary; color: $text; text-style: bold; }
    #file { background: $panel; }
    #file.recording { color: $text-error; text-style: bold; }
    #banner { display: none; height: auto; padding: 0 1; text-style: bold; text-align: center; }
    #banner.alarm { display: block; background: $error; color: $text; }
    #banner.warning { display: block; background: $warning; color: $text; }
    #banner.news { display: block; background: $panel; }
    #curves { height: 1fr; }
    ToastRack { dock: top; align: right top; margin-top: 3; }
    #bars { height: auto; padding: 0 1; text-wrap: nowrap; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "pause", "Pause", key_display="space"),
        Binding("r", "record", "Record"),
        Binding("m", "marker", "Marker"),
        Binding("n", "note", "Note"),
        Binding("left", "scroll(-1)", "Scroll", key_display="←→"),
        Binding("right", "scroll(1)", "Scroll", show=False),
        Binding("minus", "window(-1)", "Window", key_display="-+"),
        Binding("plus,equals_sign", "window(1)", "Window", show=False),
        Binding("b", "restart", "Start again", show=False),
        Binding("d", "theme", "Dark/light"),
        Binding("q", "leave", "Quit"),
        # Also while a question is open.
        Binding("ctrl+c", "leave", "Quit", show=False, priority=True),
    ]

    def __init__(
        self,
        session: Session,
        history: History,
        stop: threading.Event,
        settings: MonitorSettings,
    ) -> None:
        super().__init__()
        self._session = session
        self._history = history
        self._stop = stop
        self._settings = settings
        self._window_s = settings.window_s
        self._paused_s: float | None = None  # right edge of what is shown
        self._activation = Activation(settings.threshold_on, settings.threshold_off)
        self._followed_s = -math.inf  # newest sample the activation has taken
        self._last_recording: RecordingStatus | None = None
        self._markers = 0
        self._drawn: tuple[object, ...] = ()
        self._next_drawing = 0.0
        self._shown: dict[Static, str | Text] = {}
        self._identity = Static(id="identity", markup=False)
        self._health = Static(id="health", markup=False)
        self._file = Static(id="file", markup=False)
        self._banner = Static(id="banner", markup=False)
        self._curves = Curves("curves")
        self._bars = Static(id="bars", markup=False)
        # A terminal does not say whether it is dark; most are.
        self.theme = _LIGHT if settings.theme == "light" else _DARK

    def compose(self) -> ComposeResult:
        """Lay out the screen."""
        yield self._identity
        yield self._health
        yield self._file
        yield self._banner
        yield self._curves
        yield self._bars
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        """Begin to draw."""
        self.update_view()
        self.set_interval(1.0 / UPDATES_HZ, self.update_view)

    # ---- keys --------------------------------------------------------------------------------

    def action_pause(self) -> None:
        """Hold the curves, or let them go on."""
        self._paused_s = self._history.newest_s if self._paused_s is None else None

    def action_scroll(self, steps: int) -> None:
        """Look at other parts of what is kept, a quarter of the window at a time."""
        newest_s, oldest_s = self._history.newest_s, self._history.oldest_s
        at_s = newest_s if self._paused_s is None else self._paused_s
        at_s += steps * self._window_s / 4
        earliest_s = min(oldest_s + self._window_s, newest_s)
        self._paused_s = None if at_s >= newest_s else max(at_s, earliest_s)

    def action_window(self, steps: int) -> None:
        """Show less or more time."""
        fitting = [
            window_s
            for window_s in WINDOWS_S
            if (window_s - self._window_s) * steps > 0
            and WINDOW_RANGE_S[0] <= window_s <= WINDOW_RANGE_S[1]
        ]
        if fitting:
            self._window_s = fitting[0] if steps > 0 else fitting[-1]

    def action_theme(self) -> None:
        """Change between dark and light."""
        self.theme = _LIGHT if self._is_dark else _DARK

    def action_record(self) -> None:
        """Begin a recording, or end the one that runs."""
        try:
            if self._session.status().recording is not None:
                self._session.stop_recording()
            else:
                self._session.start_recording(self._settings.next_recording())
        except (MyowaveError, OSError) as error:
            self.notify(str(error), severity="error", markup=False)
        self.update_view()

    def action_marker(self) -> None:
        """Mark this moment; its label is asked for afterwards."""
        now_s = time.time()
        default = f"marker {self._markers + 1}"

        def take(label: str | None) -> None:
            if label is not None:
                self._markers += 1
                self._say_kept(f"marker: {label}", self._session.marker(label, now_s))

        self.push_screen(Ask("Marker of this moment", default), take)

    def action_note(self) -> None:
        """Add a remark to the recording."""

        def take(text: str | None) -> None:
            if text is not None:
                self._say_kept(f"note: {text}", self._session.note(text))

        self.push_screen(Ask("Note"), take)

    def _say_kept(self, what: str, kept: bool) -> None:
        if kept:
            self.notify(what, markup=False)
        else:
            self.notify(f"{what} (no recording runs: not kept)", severity="warning", markup=False)

    def action_restart(self) -> None:
        """Start a board that has stopped."""
        self._session.restart()

    def action_leave(self) -> None:
        """End the view, and with it the session."""
        self.exit()

    # ---- drawing -----------------------------------------------------------------------------

    @property
    def _is_dark(self) -> bool:
        return self.theme == _DARK

    def update_view(self) -> None:
        """Draw everything anew."""
        if self._stop.is_set():
            self.exit()
            return
        status = self._session.status()
        self._show(self._identity, identity_line(status))
        self._show(self._health, health_line(status, self._latency_s()))
        self._update_file(status)
        self._update_banner(status)
        self._update_curves()
        self._show(self._bars, self._bars_text(self._activity()))

    def _show(self, widget: Static, content: str | Text) -> None:
        """Change what a widget shows; anew laid out only where its height may have changed."""
        before = self._shown.get(widget)
        if content == before:
            return
        self._shown[widget] = content
        lines = [0 if text is None else str(text).count("\n") for text in (before, content)]
        widget.update(content, layout=lines[0] != lines[1] or widget is self._banner)

    def _latency_s(self) -> float:
        """Return how long ago the newest sample was measured."""
        return time.time() - self._history.host_s(self._history.newest_s)

    def _update_file(self, status: Status) -> None:
        recording = status.recording
        self._file.set_class(recording is not None, "recording")
        if recording is not None:
            self._last_recording = recording
            text, path = f"● REC {length(recording)} ", str(recording.path)
        elif self._last_recording is not None:
            text, path = f"○ saved {length(self._last_recording)} ", str(self._last_recording.path)
        else:
            text, path = "○ not recording; r records into ", f"{self._settings.record_dir}/"
        if self._paused_s is not None:
            back_s = self._history.newest_s - self._paused_s
            text = f"PAUSED {back_s:.1f} s ago | {text}"
        room = self.size.width - 2 - len(text)
        # The end of a path says more than its beginning.
        self._show(self._file, text + (path if len(path) <= room else f"…{path[1 - room :]}"))

    def _update_banner(self, status: Status) -> None:
        kind, text = banner(status)
        for name in ("alarm", "warning", "news"):
            self._banner.set_class(name == kind, name)
        self._show(self._banner, text)

    def _update_curves(self) -> None:
        end_s = self._history.newest_s if self._paused_s is None else self._paused_s
        drawn = (end_s, self._window_s, self._curves.size, self.theme, self._history.muscles)
        # Drawing is what costs: nothing new, nothing drawn.
        if drawn == self._drawn or self._curves.size.width < 10:
            return
        if time.monotonic() < self._next_drawing:
            return
        self._drawn = drawn
        began = time.thread_time()
        # One point a column: braille has two, and lines look the same.
        view = self._history.view(end_s - self._window_s, end_s, self._curves.size.width)
        plot = self._curves.plot
        plot.clear_figure()
        high = 100.0 * view.high
        top = 25.0 * math.ceil(float(np.nanmax(high, initial=100.0)) / 25.0)
        # A network may say less than rest.
        bottom = 25.0 * math.floor(float(np.nanmin(high, initial=0.0)) / 25.0)
        for column in range(high.shape[1]):
            color = Color.parse(self._color(column)).rgb
            for begin, end in runs(np.isfinite(high[:, column])):
                plot.plot(
                    (view.time_s[begin:end] - end_s).tolist(),
                    high[begin:end, column].tolist(),
                    marker="braille",
                    color=color,
                )
        plot.ylim(bottom, top)
        plot.xlim(-self._window_s, 0.0)
        ticks = [-self._window_s * part / 4 for part in (4, 3, 2, 1, 0)]
        plot.xticks(ticks, [*(f"{tick:g} s" for tick in ticks[:-1]), "now"])
        marks = np.arange(0.0, top + 1.0, 50.0).tolist()
        plot.yticks(marks, [f"{mark:.0f} %" for mark in marks])
        self._curves.draw()
        self._next_drawing = time.monotonic() + (time.thread_time() - began) / DRAWING_SHARE

    def _activity(self) -> Activity:
        samples = self._history.since(self._followed_s, 10.0)
        if len(samples.time_s):
            self._followed_s = float(samples.time_s[-1])
        known = ~samples.warm_up
        return self._activation.update(samples.envelope[known], samples.time_s[known])

    def _bars_text(self, activity: Activity) -> Text:
        muscles = self._history.muscles
        room = self.size.height - _OTHER_ROWS - _LEAST_PLOT_ROWS
        rows = 3 if muscles and room >= 3 * len(muscles) else 1
        name_width = min(16, max((len(muscle) for muscle in muscles), default=0))
        lines = []
        for column, (muscle, active, level, peak) in enumerate(
            zip(muscles, activity.active, activity.level, activity.peak, strict=False)
        ):
            style = Style(color=self._color(column), bgcolor=self._track(), bold=True)
            value = "   - %" if math.isnan(level) else f"{round(100 * level):4d} %"
            width = max(5, self.size.width - 2 - name_width - len(value) - 12)
            drawn = bar(level, peak, self._settings.threshold_on, width)
            for row in range(rows):
                middle = row == rows // 2
                line = Text(muscle[:name_width].ljust(name_width) if middle else " " * name_width)
                line.append(" ")
                line.append(drawn, style)
                line.append(f" {value}  " if middle else "", Style(bold=True))
                if active and middle:
                    line.append(" ACTIVE ", style + Style(reverse=True))
                lines.append(line)
        return Text("\n").join(lines)

    def _track(self) -> str:
        return _TRACK_ON_DARK if self._is_dark else _TRACK_ON_LIGHT

    def _color(self, column: int) -> str:
        colors = _ON_DARK if self._is_dark else _ON_LIGHT
        return colors[column % len(colors)]


def identity_line(status: Status) -> str:
    """Return who the board is."""
    identity, card = status.identity, status.card
    if identity is None:
        return f"MyoWave | {status.url}"
    parts = [identity.board]
    if identity.failed_tests:
        parts.append(f"SELF-TEST FAILED: {', '.join(identity.failed_tests)}")
    parts.append("model unknown" if card is None else card.name)
    parts[-1] += f" {identity.model_sha256[:12]}"
    if card is not None and card.simulated:
        parts[-1] += " (simulated data)"
    parts += [identity.imu or "no IMU", f"firmware {identity.firmware}", status.url]
    return " | ".join(parts)


def health_line(status: Status, latency_s: float) -> Text:
    """Return the health strip; what should be 0 and is not stands out."""
    counters = status.statistics
    wrong = Style(color="white", bgcolor="red", bold=True)
    line = Text()

    def add(name: str, value: str, bad: bool = False) -> None:
        line.append(f"{name} ")
        line.append(value, wrong if bad else Style(bold=True))
        line.append("  ")

    line.append("- Hz" if status.rate_hz is None else f"{status.rate_hz:.0f} Hz", Style(bold=True))
    line.append("  ")
    if math.isfinite(latency_s) and status.state == "live":
        add("delay", f"{1000 * latency_s:.0f} ms")
    add("lost", str(status.lost_frames), status.lost_frames > 0)
    add("CRC", str(status.crc_errors), status.crc_errors > 0)
    if counters is not None:
        add("overruns", str(counters.overruns), counters.overruns > 0)
        add("CPU", f"{counters.cpu_load_permille / 10:.0f} %")
        step_us = counters.longest_step_us
        add("step", f"{step_us} us" if step_us < 10_000 else f"{step_us / 1000:.0f} ms")
    add("gaps", str(status.gaps), status.gaps > 0)
    return line


def length(recording: RecordingStatus) -> str:
    """Return how long a recording is in time and bytes, and its markers."""
    minutes, seconds = divmod(int(recording.seconds), 60)
    markers = f" {recording.markers} marker{'' if recording.markers == 1 else 's'}"
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d} {recording.bytes / 1e6:.1f} MB" + (
        markers if recording.markers else ""
    )


def banner(status: Status) -> tuple[str, str]:
    """Return how loud ("alarm", "warning", "news", "") and what there is to say."""
    if status.state == "waiting":
        return "alarm", f"UNPLUGGED: {status.note or f'waiting for {status.url} to come back'}"
    if status.state == "silent":
        return "warning", status.note or "no samples come"
    if status.state == "ended":
        return "warning", f"{status.note or 'the board has stopped'}; b starts it again"
    if status.state == "opening":
        return "news", status.note or f"opening {status.url}"
    if status.previous_sha256 and status.identity is not None:
        return "warning", (
            f"ANOTHER MODEL came back: {status.identity.model_sha256[:12]}, before "
            f"{status.previous_sha256[:12]}"
        )
    return ("news", status.note) if status.note else ("", "")


def bar(level: float, peak: float, threshold: float, width: int) -> str:
    """Return a bar of `width` cells for 0 to 100 %, its held peak and the threshold marked."""
    cells = [" "] * width

    def place(value: float) -> int:
        return min(width - 1, max(0, int(value * width)))

    if not math.isnan(level):
        eighths = round(8 * width * min(1.0, max(0.0, level)))
        cells[: eighths // 8] = "█" * (eighths // 8)
        if eighths % 8:
            cells[eighths // 8] = _EIGHTHS[eighths % 8]
    if cells[place(threshold)] == " ":
        cells[place(threshold)] = "┊"
    if not math.isnan(peak) and cells[place(peak)] in " ┊":
        cells[place(peak)] = "┃"
    return "".join(cells)


def runs(there: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return (begin, end) of each run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], there, [False]])))
    return [(int(begin), int(end)) for begin, end in edges.reshape(-1, 2)]
