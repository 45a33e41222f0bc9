"""The terminal's view, driven by keys against a virtual board."""

import asyncio
import re
import threading
from collections.abc import Awaitable, Callable

import numpy as np
import pytest
from rich.text import Text

from myowave.cli import main
from myowave.imu import imu_by_name, to_counts
from myowave.live.background import followed
from myowave.live.history import History
from myowave.live.session import Session
from myowave.live.settings import MonitorSettings
from myowave.live.terminal import MonitorApp, bar, runs, strip
from myowave.log import read_log
from myowave.model_card import load_card
from myowave.paths import REPOSITORY, build_dir
from myowave.simulate import simulate
from myowave.virtual import VirtualBoard
from tests.firmware.models import expected, movement

DEADLINE_S = 20.0


async def until(true: Callable[[], bool]) -> None:
    """Wait for something the screen or the board is to do."""
    async with asyncio.timeout(DEADLINE_S):
        while not true():
            await asyncio.sleep(0.02)


def shown(app: MonitorApp, name: str) -> str:
    """Return what a line of the screen says."""
    widget = app.screen_stack[0].query_one(f"#{name}")
    return "\n".join(widget.render_line(y).text.strip() for y in range(widget.size.height))


def picture(app: MonitorApp, name: str) -> None:
    """Keep the screen as a picture for people to look at."""
    folder = build_dir("screenshots")
    (folder / f"{name}.svg").write_text(app.export_screenshot(title="myowave monitor --tui"))


def drive(
    session: Session,
    history: History,
    settings: MonitorSettings,
    user: Callable[[MonitorApp, Callable[..., Awaitable[None]]], Awaitable[None]],
    size: tuple[int, int] = (80, 24),
) -> None:
    """Have a user press keys at the view of a session that runs in a thread."""
    stop = threading.Event()

    async def run() -> None:
        app = MonitorApp(session, history, stop, settings)
        async with app.run_test(size=size) as pilot:
            await user(app, pilot.press)

    with followed(session, stop):
        asyncio.run(run())


def session_at(url: str) -> tuple[Session, History]:
    session, history = Session(url, raw=True), History()
    session.add(history)
    return session, history


def test_a_session_by_keyboard(tmp_path):
    """Curves move, a recording with marker and note, pause, window, theme, unplugging."""
    model = REPOSITORY / "models" / "sim_biceps"
    card = load_card(model)
    curls = simulate(12.0, 1)
    counts = to_counts(curls.acc, curls.gyro, imu_by_name(card.imu))
    link = tmp_path / "port"

    def plug_in() -> VirtualBoard:
        board = VirtualBoard(counts, imu_by_name(card.imu), model, "native", link, loop=True)
        board.start()
        return board

    virtual = plug_in()
    session, history = session_at(str(link))

    async def user(app: MonitorApp, press: Callable[..., Awaitable[None]]) -> None:
        nonlocal virtual
        await until(lambda: "ACTIVE" in shown(app, "bars"))
        assert f"sim_biceps {card.tflite_sha256[:12]}" in shown(app, "identity")
        assert "lost 0  CRC 0" in shown(app, "health")
        assert "not recording" in shown(app, "file")
        before = shown(app, "curves")
        assert re.search("[\u2801-\u28ff]", before), "no braille dots"
        await until(lambda: shown(app, "curves") != before)

        await press("r")
        await until(lambda: "● REC" in shown(app, "file"))
        await press("m", *"curl", "enter")
        await press("n", *"arm", "space", *"up", "escape")
        await press("n", *"arm", "space", *"down", "enter")
        await until(lambda: "1 marker" in shown(app, "file"))
        await until(lambda: history.total > 8000)
        picture(app, "tui-recording")

        await press("space")
        await until(lambda: "PAUSED" in shown(app, "file"))
        samples = history.total
        await until(lambda: history.total > samples + 500)
        held = shown(app, "curves")
        samples = history.total
        await until(lambda: history.total > samples + 500)
        assert shown(app, "curves") == held
        await press("left")
        await until(lambda: shown(app, "curves") != held)
        await press("space", "minus")
        await until(lambda: "-5 s" in shown(app, "curves"))
        await press("d")
        await until(lambda: app.theme == "textual-light")
        picture(app, "tui-light")

        virtual.close()
        await until(lambda: "UNPLUGGED" in shown(app, "banner"))
        await until(lambda: "now" in shown(app, "curves"))
        picture(app, "tui-unplugged")
        virtual = plug_in()
        await until(lambda: session.status().state == "live" and not shown(app, "banner").strip())
        samples = history.total
        await until(lambda: history.total > samples + 500)
        await press("r")
        await until(lambda: "○ saved" in shown(app, "file"))
        await press("q")

    settings = MonitorSettings(record_dir=tmp_path)
    try:
        drive(session, history, settings, user)
    finally:
        virtual.close()
    (path,) = tmp_path.glob("*.mwlog")
    log = read_log(path)
    assert [label for _, label in log.markers] == ["curl"]
    assert [text for _, text in log.notes] == ["arm down"]
    assert log.lost_frames == 0
    assert {event["event"] for _, event in log.events} >= {"opened", "lost", "resumed", "closed"}
    first = log.run == log.run[0]
    # A busy computer may lose samples; then the log says where.
    tick = log.tick[first]
    assert np.array_equal(np.diff(tick) - 1, log.missing[first][1:])
    assert np.array_equal(log.counts[first], counts[tick % len(counts)])


def test_a_board_that_has_stopped_is_started_again(board, model, tmp_path):
    counts = movement(1500, seed=2)
    with board(counts=counts) as virtual:
        session, history = session_at(virtual.port)

        async def user(app: MonitorApp, press: Callable[..., Awaitable[None]]) -> None:
            await until(lambda: "b starts it again" in shown(app, "banner"))
            predicted = load_card(model).envelope_of(expected(model, counts))
            assert f" {100 * predicted[-1, 0]:.0f} %" in shown(app, "bars")
            samples = history.total
            await press("b")
            await until(lambda: history.total > samples)
            # A file that cannot be made is told, and the view goes on.
            await press("r")
            await until(lambda: "cannot be written" in toasts(app))
            await press("ctrl+c")

        settings = MonitorSettings(record_dir=tmp_path / "no" / "folder")
        drive(session, history, settings, user, size=(120, 40))


def toasts(app: MonitorApp) -> str:
    return " ".join(notification.message for notification in app._notifications)


@pytest.mark.parametrize("size", [(80, 24), (200, 60), (40, 12)])
def test_it_fits_every_terminal(board, size):
    with board(virtual_clock=False, loop=True) as virtual:
        session, history = session_at(virtual.port)

        async def user(app: MonitorApp, press: Callable[..., Awaitable[None]]) -> None:
            await until(lambda: "%" in shown(app, "bars"))
            for widget in app.screen.query("Static, Curves, Footer"):
                assert widget.region.right <= size[0]
                assert widget.region.bottom <= size[1]
            assert len(shown(app, "curves").splitlines()[0]) <= size[0]

        drive(session, history, MonitorSettings(), user, size)


def test_a_bar_shows_level_threshold_and_peak():
    assert bar(float("nan"), float("nan"), 0.2, 10) == "  ┊       "
    assert bar(0.0, 0.0, 0.2, 10) == "┃ ┊       "
    assert bar(0.5, 0.8, 0.2, 10) == "█████   ┃ "
    assert bar(0.56, 0.56, 0.2, 10) == "█████▋    "
    assert bar(1.7, 2.0, 0.2, 10) == "██████████"


def test_runs_are_found():
    there = np.array([True, True, False, True, False, False, True])
    assert runs(there) == [(0, 2), (3, 4), (6, 7)]
    assert runs(np.zeros(3, dtype=bool)) == []


def test_a_line_with_colours_is_what_rich_makes_of_it():
    line = (
        "\x1b[48;5;15m\x1b[38;2;230;159;0m⣀⣀⣀\x1b[0m\x1b[48;5;15m   \x1b[0mplain\x1b[1m bold\x1b[0m"
    )
    cells = [(char, segment.style) for segment in strip(line) for char in segment.text]
    text = Text.from_ansi(line)
    assert "".join(char for char, _ in cells) == text.plain
    for place, (_, style) in enumerate(cells):
        (wanted,) = [span.style for span in text.spans if span.start <= place < span.end] or [""]
        assert str(style) == str(wanted or "none")


def test_without_a_terminal_it_says_so(capsys, tmp_path):
    assert main(["monitor", str(tmp_path / "port"), "--tui"]) == 2
    assert "--plain prints lines" in capsys.readouterr().err
