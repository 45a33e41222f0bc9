"""The monitor in a terminal, such as over ssh: curves, bars, health, recording, by keyboard."""

import math
import threading
import time
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from rich.style import Style
from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Footer, Input, Label, Static
from textual_plotext import PlotextPlot

from myowave.errors import MyowaveError
from myowave.live.activation import Activation, Activity
from myowave.live.history import History
from myowave.live.session import RecordingStatus, Session, Status
from myowave.live.settings import WINDOW_RANGE_S, MonitorSettings

UPDATES_HZ = 10.0
WINDOWS_S = (2.0, 5.0, 10.0, 20.0, 30.0, 60.0)
LOG_SUFFIX = ".mwlog"
# Okabe & Ito, Color universal design (2008): apart for colour-blind people too; those of the eight
# that stand out on the background.
_ON_DARK = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (204, 121, 167))
_ON_LIGHT = ((0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167), (120, 90, 0))
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
    #file.recording { background: $error; color: $text; text-style: bold; }
    #banner { display: none; height: auto; padding: 0 1; text-style: bold; text-align: center; }
    #banner.alarm { display: block; background: $error; color: $text; }
    #banner.warning { display: block; background: $warning; color: $text; }
    #banner.news { display: block; background: $panel; }
    #curves { height: 1fr; }
    #bars { height: auto; padding: 0 1; text-wrap: nowrap; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "pause", "Pause", key_display="space"),
        Binding("r", "record", "Record"),
        Binding("m", "marker", "Marker"),
        Binding("n", "note", "Note"),
        Binding("left", "scroll(-1)", "Back"),
        Binding("right", "scroll(1)", "On"),
        Binding("minus", "window(-1)", "Window", key_display="-"),
        Binding("plus,equals_sign", "window(1)", "", key_display="+", show=False),
        Binding("b", "restart", "Start again", show=False),
        Binding("d", "theme", "Theme"),
        Binding("q,ctrl+c,ctrl+q", "quit", "Quit", key_display="q", priority=False),
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
        self._followed_s = 0.0
        self._last_recording: RecordingStatus | None = None
        self._markers = 0
        self._drawn: tuple[object, ...] = ()
        self._identity = Static(id="identity", markup=False)
        self._health = Static(id="health", markup=False)
        self._file = Static(id="file", markup=False)
        self._banner = Static(id="banner", markup=False)
        self._curves = PlotextPlot(id="curves")
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
                self._session.start_recording(self._next_file())
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
                self._session.marker(label, now_s)
                self._say_kept(f"marker: {label}")

        self.push_screen(Ask("Marker of this moment", default), take)

    def action_note(self) -> None:
        """Add a remark to the recording."""

        def take(text: str | None) -> None:
            if text is not None:
                self._session.note(text)
                self._say_kept(f"note: {text}")

        self.push_screen(Ask("Note"), take)

    def _say_kept(self, what: str) -> None:
        if self._session.status().recording is None:
            self.notify(f"{what} (no recording runs: not kept)", severity="warning", markup=False)
        else:
            self.notify(what, markup=False)

    def action_restart(self) -> None:
        """Start a board that has stopped."""
        self._session.restart()

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
        self._identity.update(identity_line(status))
        self._health.update(health_line(status, self._latency_s(), self._is_dark))
        self._update_file(status)
        self._update_banner(status)
        self._update_curves()
        self._bars.update(self._bars_text(self._activity()))

    def _latency_s(self) -> float:
        """Return how long ago the newest sample was measured."""
        return time.time() - self._history.host_s(self._history.newest_s)

    def _update_file(self, status: Status) -> None:
        recording = status.recording
        self._file.set_class(recording is not None, "recording")
        if recording is not None:
            self._last_recording = recording
            text = f"● REC {file_line(recording)}"
        elif self._last_recording is not None:
            text = f"○ saved {file_line(self._last_recording)}"
        else:
            text = f"○ not recording; r records into {self._settings.record_dir}/"
        if self._paused_s is not None:
            back_s = self._history.newest_s - self._paused_s
            text += f" | PAUSED {back_s:.1f} s ago"
        self._file.update(text)

    def _update_banner(self, status: Status) -> None:
        kind, text = banner(status)
        for name in ("alarm", "warning", "news"):
            self._banner.set_class(name == kind, name)
        self._banner.update(text)

    def _update_curves(self) -> None:
        end_s = self._history.newest_s if self._paused_s is None else self._paused_s
        drawn = (end_s, self._window_s, self._curves.size, self.theme, self._history.muscles)
        # Drawing is what costs: nothing new, nothing drawn.
        if drawn == self._drawn or self._curves.size.width < 10:
            return
        self._drawn = drawn
        view = self._history.view(end_s - self._window_s, end_s, 2 * self._curves.size.width)
        plot = self._curves.plt
        plot.clear_figure()
        high = 100.0 * view.high
        top = 100.0
        if np.isfinite(high).any():
            top = max(top, 50.0 * math.ceil(float(np.nanmax(high)) / 50.0))
        for column in range(high.shape[1]):
            color = self._color(column)
            for begin, end in runs(np.isfinite(high[:, column])):
                plot.plot(
                    (view.time_s[begin:end] - end_s).tolist(),
                    high[begin:end, column].tolist(),
                    marker="braille",
                    color=color,
                )
        plot.ylim(0.0, top)
        plot.xlim(-self._window_s, 0.0)
        ticks = [-self._window_s * part / 4 for part in (4, 3, 2, 1, 0)]
        plot.xticks(ticks, [*(f"{tick:g} s" for tick in ticks[:-1]), "now"])
        marks = [0.0, top / 2, top]
        plot.yticks(marks, [f"{mark:.0f} %" for mark in marks])
        plot.grid(False, True)
        self._curves.refresh()

    def _activity(self) -> Activity:
        newest_s = self._history.newest_s
        samples = self._history.latest(min(newest_s - self._followed_s, 10.0))
        self._followed_s = newest_s
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
            style = Style(color="rgb({},{},{})".format(*self._color(column)), bold=True)
            value = "   - %" if math.isnan(level) else f"{100 * level:4.0f} %"
            width = max(5, self.size.width - 2 - name_width - len(value) - 11)
            drawn = bar(level, peak, self._settings.threshold_on, width)
            for row in range(rows):
                middle = row == rows // 2
                line = Text(muscle[:name_width].ljust(name_width) if middle else " " * name_width)
                line.append(" ")
                line.append(drawn, style)
                line.append(f" {value}  " if middle else "", Style(bold=True))
                if active and middle:
                    line.append(" ACTIVE", style + Style(reverse=True))
                lines.append(line)
        return Text("\n").join(lines)

    def _color(self, column: int) -> tuple[int, int, int]:
        colors = _ON_DARK if self._is_dark else _ON_LIGHT
        return colors[column % len(colors)]

    def _next_file(self) -> Path:
        """Return a name no file has yet."""
        folder = self._settings.record_dir
        stem = time.strftime("%Y-%m-%d_%H%M%S")
        path, number = folder / f"{stem}{LOG_SUFFIX}", 1
        while path.exists():
            number += 1
            path = folder / f"{stem}_{number}{LOG_SUFFIX}"
        return path


def identity_line(status: Status) -> str:
    """Return who the board is."""
    identity, card = status.identity, status.card
    if identity is None:
        return f"MyoWave | {status.url}"
    model = identity.model_sha256[:12]
    named = f"{card.name} {model}" if card is not None else model
    parts = [
        f"MyoWave | {identity.board}",
        f"model {named}" + (" (simulated data)" if card is not None and card.simulated else ""),
        f"IMU {identity.imu or 'none'}",
        f"firmware {identity.firmware}",
    ]
    if identity.failed_tests:
        parts.insert(1, f"SELF-TEST FAILED: {', '.join(identity.failed_tests)}")
    return " | ".join(parts)


def health_line(status: Status, latency_s: float, dark: bool) -> Text:
    """Return the health strip; what should be 0 and is not stands out."""
    counters = status.statistics
    wrong = Style(color="bright_white" if dark else "white", bgcolor="red", bold=True)
    line = Text()

    def add(name: str, value: str, bad: bool = False) -> None:
        line.append(f"{name} ", Style(dim=True))
        line.append(value, wrong if bad else Style(bold=True))
        line.append("  ")

    add("rate", "- Hz" if status.rate_hz is None else f"{status.rate_hz:.0f} Hz")
    add("lost", str(status.lost_frames), status.lost_frames > 0)
    damaged = status.crc_errors + status.malformed
    add("CRC", str(damaged), damaged > 0)
    add("gaps", str(status.gaps), status.gaps > 0)
    if counters is not None:
        late = counters.overruns + counters.dropped
        add("overruns", str(late), late > 0)
        add("CPU", f"{counters.cpu_load_permille / 10:.0f} %")
        add("step", f"{counters.longest_step_us} us")
    if math.isfinite(latency_s) and status.state == "live":
        add("delay", f"{1000 * latency_s:.0f} ms")
    return line


def file_line(recording: RecordingStatus) -> str:
    """Return the file of a recording, its length in time and bytes, and its markers."""
    minutes, seconds = divmod(int(recording.seconds), 60)
    markers = f", {recording.markers} markers" if recording.markers else ""
    return (
        f"{recording.path} {minutes // 60}:{minutes % 60:02d}:{seconds:02d}, "
        f"{recording.bytes / 1e6:.1f} MB{markers}"
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
