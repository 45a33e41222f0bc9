"""The monitor's page, driven in headless Chromium with the data of virtual boards.

The screenshots it makes are in `build/screenshots/`, for a person to look at.
"""

import base64
import gc
import http.client
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, chdir, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from numpy.typing import NDArray

from myowave.compiler.reference import WaveNetShape, random_network
from myowave.errors import ConfigError
from myowave.imu import imu_by_name, to_counts
from myowave.live import web
from myowave.live.background import followed
from myowave.live.history import History
from myowave.live.page import Page as Tab
from myowave.live.recorded_emg import RecordedEmg
from myowave.live.server import serve
from myowave.live.session import RecordingStatus, Session
from myowave.live.settings import MonitorSettings
from myowave.log import LogData, read_log
from myowave.model_card import load_card
from myowave.paths import REPOSITORY, build_dir
from myowave.recording import Recording
from myowave.simulate import simulate
from myowave.virtual import VirtualBoard
from tests.firmware.models import IMU, expected, movement, write_model, write_network

sync_api = pytest.importorskip("playwright.sync_api")
pytest.importorskip("bokeh")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
BICEPS = REPOSITORY / "models" / "sim_biceps"
BICEPS_IMU = imu_by_name(load_card(BICEPS).imu)
SIZE = {"width": 1600, "height": 1000}
TOKEN = "a-token-nobody-guesses"
# Generous: what is waited for happens at once on an idle machine.
DEADLINE_MS = 30_000
MOVEMENT = movement(20_000)

# JavaScript: what the browser has of the session.
PLOT = "Bokeh.documents[0].get_model_by_name('muscle0')"
SENSOR = "Bokeh.documents[0].get_model_by_name('sensor0')"
RANGE_END = f"{PLOT}.x_range.end"
CURVES = f"{PLOT}.renderers.find((item) => item.name === 'curve').data_source.data"
LAST_TIME = f"{CURVES}.time.at(-1)"


def wait_for(what: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE_MS / 1000
    while not what():
        assert time.monotonic() < deadline, "did not happen"
        time.sleep(0.02)


@dataclass
class Running:
    """A monitor that runs."""

    url: str
    session: Session
    history: History

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or 0

    @property
    def recording(self) -> RecordingStatus:
        """The recording that runs."""
        recording = self.session.status().recording
        assert recording is not None
        return recording


@contextmanager
def monitor(link: Path, **options: Any) -> Iterator[Running]:
    """Serve the page for the board at `link`."""
    options.setdefault("settings", MonitorSettings(record_dir=link.parent))
    session = Session(
        str(link),
        raw=options["settings"].show_raw,
        model_dirs=options.pop("model_dirs", [BICEPS]),
    )
    history = History()
    session.add(history)
    stop = threading.Event()
    ready = threading.Event()
    urls: list[str] = []

    def on_url(url: str) -> None:
        urls.append(url)
        ready.set()

    with followed(session, stop):
        server = threading.Thread(
            target=serve,
            args=(session, history),
            kwargs={"stop": stop, "on_url": on_url, **options},
        )
        server.start()
        try:
            assert ready.wait(30)
            yield Running(urls[0], session, history)
        finally:
            stop.set()
            server.join(30)
            assert not server.is_alive()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """Headless Chromium of the system."""
    if CHROMIUM is None:
        pytest.skip("no Chromium: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=[
                *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"),
                *("--no-first-run", "--disable-background-networking"),
                *("--disable-component-update", "--disable-sync"),
            ],
        )
        yield browser
        browser.close()


@dataclass
class Watched:
    """A tab, with what it asked for and what went wrong in it."""

    page: Any
    requests: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def take_message(self, message: Any) -> None:
        """Keep an error of the browser's console."""
        if message.type == "error":
            self.faults.append(message.text)

    def js(self, expression: str) -> Any:
        return self.page.evaluate(f"() => {expression}")

    def until(self, expression: str) -> None:
        self.page.wait_for_function(f"() => {expression}", timeout=DEADLINE_MS)

    def text(self, element: str) -> str:
        return str(self.page.inner_text(f"#{element}"))

    def until_says(self, element: str, words: str) -> None:
        self.until(f"document.getElementById('{element}').innerText.includes({words!r})")

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def click(self, name: str) -> None:
        """Click the button of this name."""
        self.page.get_by_role("button", name=name).click()

    def picture(self, name: str) -> None:
        self.page.screenshot(path=build_dir("screenshots") / f"{name}.png")


@contextmanager
def tab(chromium: Any, url: str, scheme: str = "light") -> Iterator[Watched]:
    """Open a page in a browser of its own and wait for the first curves."""
    context = chromium.new_context(viewport=SIZE, color_scheme=scheme)
    page = context.new_page()
    watched = Watched(page)
    page.on("request", lambda request: watched.requests.append(request.url))
    page.on("websocket", lambda socket: watched.requests.append(socket.url))
    page.on("pageerror", lambda error: watched.faults.append(str(error)))
    page.on("console", watched.take_message)
    page.goto(url)
    watched.until("typeof myowave !== 'undefined' && myowave.painted.length > 5")
    try:
        yield watched
    finally:
        context.close()
    assert not watched.faults


@pytest.fixture(scope="module")
def recording() -> Recording:
    """A minute of simulated curls, with the sEMG that goes with them."""
    return simulate(seconds=60.0, seed=3)


@pytest.fixture(scope="module")
def counts(recording) -> NDArray[np.int16]:
    """Raw counts of the curls, thrice."""
    played = to_counts(recording.acc, recording.gyro, BICEPS_IMU)
    return np.tile(played, (3, 1))


@pytest.fixture(scope="module")
def curls(recording, counts, tmp_path_factory) -> Iterator[Running]:
    """A monitor of a board with the biceps model that plays curls, sEMG beside."""
    folder = tmp_path_factory.mktemp("curls")
    # A port's name is in the picture; a folder of this run says nothing to anyone.
    link = Path("board")
    with (
        chdir(folder),
        VirtualBoard(counts, BICEPS_IMU, BICEPS, "native", link, loop=True),
        monitor(
            link,
            recorded_emg=RecordedEmg(recording, load_card(BICEPS)),
            settings=MonitorSettings(record_dir=folder),
        ) as running,
    ):
        yield running


@pytest.fixture
def board(counts) -> Callable[[Path], VirtualBoard]:
    """Make a board whose every prediction is known."""
    return lambda link: VirtualBoard(counts, BICEPS_IMU, BICEPS, "native", link)


def require_every_sample(log: LogData, counts: NDArray[np.int16]) -> None:
    """Check a log of boards that were started: all samples from the first to the last of each."""
    for run in np.unique(log.run):
        ticks = log.tick[log.run == run]
        assert np.array_equal(ticks, np.arange(ticks[0], ticks[-1] + 1))
    assert np.array_equal(log.predictions, expected(BICEPS, counts)[log.tick])
    # Counts come from a moment after the recording was begun on.
    assert log.has_counts.mean() > 0.5
    assert np.array_equal(log.counts[log.has_counts], counts[log.tick][log.has_counts])


# ---- what it shows -------------------------------------------------------------------------------


def test_curves_move_with_the_board_and_nothing_is_loaded_from_elsewhere(chromium, curls):
    with tab(chromium, curls.url) as page:
        before = page.js(LAST_TIME)
        canvas = page.page.locator("#stage canvas").first.screenshot()
        page.until(f"{LAST_TIME} > {before} + 1")
        assert page.page.locator("#stage canvas").first.screenshot() != canvas
        # What is drawn is what the session has: lowest and highest value of each bin.
        drawn = np.array(page.js(f"Array.from({CURVES}.envelope0)"))
        samples = curls.history.latest(60.0)
        assert np.nanmin(drawn) >= 100 * samples.envelope.min() - 0.01
        assert np.nanmax(drawn) <= 100 * samples.envelope.max() + 0.01
        assert np.nanmax(drawn) > np.nanmin(drawn)

        identity = page.text("identity")
        for words in ("Live", "native", "firmware", "sim_biceps", "icm-42688-p"):
            assert words in identity
        assert "recorded" in page.text("tiles")
        health = page.text("health")
        for words in (
            *("Sample rate", "Lost frames", "CRC errors", "Device overruns"),
            *("Device CPU load", "Longest step", "Sample to screen", "Screen updates"),
        ):
            assert words in health
        page.until("myowave.tab.latency_ms > 0 && myowave.tab.updates_hz > 0")
        page.until(
            "/Sample to screen\\s+\\d+\\s*ms/.test(document.getElementById('health').innerText)"
        )

        hosts = {urlsplit(url).netloc for url in page.requests if not url.startswith("data:")}
        assert hosts == {urlsplit(curls.url).netloc}
        page.press("c", "r")
        page.until_says("file", "Recording")
        for _ in range(2):
            page.page.wait_for_timeout(4000)
            page.press("m")
        page.page.wait_for_timeout(2000)
        page.picture("light")
        page.press("r")
        page.until_says("file", "Saved")


def test_latency_is_from_measurement_to_paint(chromium, curls):
    with tab(chromium, curls.url) as page:
        page.js("myowave.painted.splice(0)")
        page.until("myowave.painted.length > 20")
        latency_ms = np.array([item[1] for item in page.js("myowave.painted")])
        # A sample is never painted before it was measured; the board sends 20 of them at a time.
        assert (latency_ms > 10.0).all()
        assert np.median(latency_ms) < 5000.0


def test_pause_freezes_the_view_not_the_session(chromium, curls):
    with tab(chromium, curls.url) as page:
        page.press("Space")
        page.until_says("scroll", "Paused")
        page.until(f"{RANGE_END} === Bokeh.documents[0].get_model_by_name('scroll').value")
        end = page.js(RANGE_END)
        total = curls.history.total
        wait_for(lambda: curls.history.total > total + 500)
        assert page.js(RANGE_END) == end
        page.press("Escape")
        page.until(f"{RANGE_END} > {end}")
        page.until("document.getElementById('scroll').innerText === ''")


def test_scrolling_back_shows_what_was(chromium, curls):
    wait_for(lambda: curls.history.newest_s > 12)
    with tab(chromium, curls.url) as page:
        page.press("-", "-", "-", "-", "-", "-", "-", "-")  # 10 s to 2 s
        page.until(f"Math.abs({RANGE_END} - {PLOT}.x_range.start - 2) < 0.01")
        page.press("Space")
        page.until_says("scroll", "Paused")
        page.until(f"{RANGE_END} === Bokeh.documents[0].get_model_by_name('scroll').value")
        end = page.js(RANGE_END)
        page.press("ArrowLeft", "ArrowLeft")
        page.until(f"Math.abs({RANGE_END} - ({end} - 1)) < 0.02")
        page.until(f"{LAST_TIME} <= {RANGE_END} + 0.01")
        view = curls.history.view(page.js(f"{PLOT}.x_range.start"), page.js(RANGE_END), 400)
        drawn = page.js(f"Array.from({CURVES}.envelope0)")
        assert np.nanmax(drawn) == pytest.approx(100 * np.nanmax(view.high), abs=0.01)
        page.press("ArrowRight", "ArrowRight", "ArrowRight", "ArrowRight", "ArrowRight")
        page.until(f"{RANGE_END} > {end}")
        page.picture("paused")


def test_theme_follows_the_system_and_the_person(chromium, curls):
    background = "getComputedStyle(document.body).backgroundColor"
    with tab(chromium, curls.url, scheme="dark") as page:
        page.until("document.documentElement.dataset.theme === 'dark'")
        dark = page.js(background)
        page.page.wait_for_timeout(4000)
        page.picture("dark")
        page.page.emulate_media(color_scheme="light")
        page.until("document.documentElement.dataset.theme === 'light'")
        light = page.js(background)
        assert light != dark
        page.press("t", "t")  # auto, light, dark
        page.until("document.documentElement.dataset.theme === 'dark'")
        assert page.js(background) == dark


def test_keyboard_leaves_what_is_written_alone(chromium, curls):
    with tab(chromium, curls.url) as page:
        page.press("n")
        page.page.keyboard.type("record l c t")
        assert curls.session.status().recording is None
        assert page.js("document.documentElement.dataset.theme") == "light"
        note = "Bokeh.documents[0].get_model_by_name('note')"
        page.until(f"{note}.value_input === 'record l c t'")
        page.press("Escape", "l")
        page.until("Bokeh.documents[0].get_model_by_name('lock').active")
        # A key that is held down counts once, unless it scrolls or zooms.
        used = page.js("myowave.used")
        for key, times in (("l", 1), ("-", 3)):
            for _ in range(3):
                page.page.keyboard.down(key)
            page.page.keyboard.up(key)
            used += times
            assert page.js("myowave.used") == used
        # Every shortcut is listed.
        listed = {key.lower() for key in page.page.locator("kbd").all_inner_texts()}
        keys = set(page.js("[...Object.keys(myowave.commands), ...Object.keys(myowave.fields)]"))
        names = {" ": "space", "Escape": "esc", "ArrowLeft": "←", "ArrowRight": "→", "-": "−"}
        assert listed == {names.get(key, key) for key in keys} | {"t"}


def test_a_locked_axis_stays_and_a_free_one_follows(chromium, curls):
    with tab(chromium, curls.url) as page:
        page.press("c")
        page.until(f"{SENSOR}.visible && {SENSOR}.y_range.end > 5")
        page.until_says("tiles", "Acceleration")
        page.press("l")
        page.until("Bokeh.documents[0].get_model_by_name('lock').active")
        page.js(f"void ({SENSOR}.y_range.end = 3)")
        page.until(f"{LAST_TIME} > 0")
        last = page.js(LAST_TIME)
        page.until(f"{LAST_TIME} > {last} + 0.5")
        assert page.js(f"{SENSOR}.y_range.end") == 3
        page.press("l")
        page.until(f"{SENSOR}.y_range.end > 5")


def test_thresholds_decide_what_is_active(chromium, curls):
    threshold = "Bokeh.documents[0].get_model_by_name('threshold')"
    with tab(chromium, curls.url) as page:
        page.until("/Active/.test(document.getElementById('tiles').innerText)")
        page.js(f"void ({threshold}.value = [99, 100])")
        page.until("!/Active/.test(document.getElementById('tiles').innerText)")
        page.until_says("tiles", "At rest")


def test_four_muscles_and_raw_channels(chromium, tmp_path):
    shape = WaveNetShape(channels=8, blocks=6, outputs=4)
    model = write_network(tmp_path / "four", random_network(shape), "four muscles", IMU)
    with (
        VirtualBoard(MOVEMENT, IMU, model, "native", tmp_path / "board", loop=True),
        monitor(
            tmp_path / "board",
            model_dirs=[model],
            settings=MonitorSettings(show_raw=True, record_dir=tmp_path),
        ) as running,
        tab(chromium, running.url, scheme="dark") as page,
    ):
        for muscle in range(4):
            assert f"muscle {muscle}" in page.text("tiles")
            column = f"{CURVES}.envelope{muscle}"
            assert page.js(f"{column}.some(Number.isFinite)")
        page.until(f"{SENSOR}.renderers[0].data_source.data.raw5.some(Number.isFinite)")
        page.page.wait_for_timeout(6000)
        page.picture("four-muscles-raw")


# ---- what it records -----------------------------------------------------------------------------


def test_recording_holds_every_sample_marker_and_note(chromium, board, counts, tmp_path):
    with (
        board(tmp_path / "board"),
        monitor(tmp_path / "board") as running,
        tab(chromium, running.url) as page,
    ):
        assert "Not recording" in page.text("file")
        page.press("r")
        page.until_says("file", "Recording")
        path = tmp_path / running.recording.path.name
        assert path.name in page.text("file")
        page.press("b")
        page.page.keyboard.type("curl 1")
        page.press("Enter", "Escape")
        page.page.wait_for_timeout(1500)
        page.press("m")
        page.until_says("file", "2 markers")
        page.press("n")
        page.page.keyboard.type("<b>strap</b> moved")
        page.press("Enter")
        page.until_says("message", "note added")
        wait_for(lambda: running.recording.samples > 5000)
        page.picture("recording")
        page.press("Escape", "r")
        page.until_says("file", "Saved")
        log = read_log(path)
        assert [label for _, label in log.markers] == ["curl 1"] * 2
        assert [text for _, text in log.notes] == ["<b>strap</b> moved"]
        assert log.n_samples > 3000
        require_every_sample(log, counts)


def test_a_folder_that_cannot_be_is_said(chromium, board, tmp_path):
    (tmp_path / "file").touch()
    settings = MonitorSettings(record_dir=tmp_path / "file" / "folder")
    with (
        board(tmp_path / "board"),
        monitor(tmp_path / "board", settings=settings) as running,
        tab(chromium, running.url) as page,
    ):
        page.press("r")
        page.until_says("message", "cannot make this folder")
        page.until("!Bokeh.documents[0].get_model_by_name('record').active")
        assert "Not recording" in page.text("file")


def test_a_monitor_that_has_ended_says_so(chromium, board, tmp_path):
    with board(tmp_path / "board"), ExitStack() as stack:
        running = stack.enter_context(monitor(tmp_path / "board"))
        with tab(chromium, running.url) as page:
            stack.close()
            page.until_says("banner", "has ended")
            # The browser tells its console that nobody is there.
            page.page.wait_for_timeout(100)
            page.faults.clear()


def test_unplugged_says_so_and_resumes(chromium, board, counts, tmp_path):
    link = tmp_path / "board"
    with ExitStack() as stack:
        first = stack.enter_context(board(link))
        running = stack.enter_context(monitor(link))
        page = stack.enter_context(tab(chromium, running.url))
        page.click("● Record")
        page.until_says("file", "Recording")
        path = running.recording.path
        wait_for(lambda: running.recording.samples > 4000)
        first.close()
        page.until_says("banner", "unplugged")
        page.until_says("identity", "Unplugged")
        assert page.js(LAST_TIME) > 1
        kept = running.history.total
        page.until("document.querySelector('#tiles .stale') !== null")
        page.picture("unplugged")
        with board(link):
            page.until("document.getElementById('banner').innerText === ''")
            page.until_says("identity", "Live")
            page.until("document.querySelector('#tiles .stale') === null")
            assert path.name in page.text("file")
            wait_for(lambda: running.history.total > kept + 1000)
            page.press("r")
            page.until_says("file", "Saved")
            log = read_log(path)
            # One log of both runs: the ticks begin again.
            assert len(np.unique(log.run)) == 2
            require_every_sample(log, counts)
        assert running.session.status().lost_frames == 0


def test_a_board_that_has_played_all_is_started_again(chromium, counts, tmp_path):
    link = tmp_path / "board"
    with (
        VirtualBoard(counts[:3000], BICEPS_IMU, BICEPS, "native", link),
        monitor(link) as running,
        tab(chromium, running.url) as page,
    ):
        page.until_says("banner", "sends no more")
        played = running.history.total
        page.press("s")
        page.until_says("identity", "Live")
        wait_for(lambda: running.history.total > played + 1000)
        page.until_says("banner", "sends no more")


def test_another_model_that_comes_back_is_shown(chromium, board, tmp_path):
    link = tmp_path / "board"
    other = write_model(tmp_path / "other", "S")
    with ExitStack() as stack:
        first = stack.enter_context(board(link))
        running = stack.enter_context(monitor(link))
        page = stack.enter_context(tab(chromium, running.url))
        first.close()
        page.until_says("banner", "unplugged")
        with VirtualBoard(MOVEMENT, IMU, other, "native", link):
            page.until_says("banner", "Another model came back")
            for folder in (BICEPS, other):
                assert load_card(folder).tflite_sha256[:12] in page.text("banner")
            page.picture("another-model")


# ---- tabs ----------------------------------------------------------------------------------------


def test_tabs_at_once_and_nothing_left_of_a_closed_one(chromium, board, tmp_path, monkeypatch):
    monkeypatch.setattr(web, "CLOSED_TAB_MS", 400)

    def tabs() -> int:
        gc.collect()
        return sum(isinstance(item, Tab) for item in gc.get_objects())

    before = tabs()
    with (
        board(tmp_path / "board"),
        monitor(tmp_path / "board") as running,
        tab(chromium, running.url) as first,
    ):
        with tab(chromium, running.url) as second:
            second.press("Space")
            second.until_says("scroll", "Paused")
            last = first.js(LAST_TIME)
            first.until(f"{LAST_TIME} > {last}")
            assert first.text("scroll") == ""
            assert tabs() == before + 2
        wait_for(lambda: tabs() == before + 1)
        last = first.js(LAST_TIME)
        first.until(f"{LAST_TIME} > {last}")


# ---- who may see it ------------------------------------------------------------------------------


def answer(running: Running, path: str = "/", **headers: str) -> http.client.HTTPResponse:
    """Return the answer to a GET request with these headers."""
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=30)
    connection.putrequest("GET", path, skip_host=True)
    headers.setdefault("Host", f"127.0.0.1:{running.port}")
    for name, value in headers.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders()
    response = connection.getresponse()
    response.read()
    connection.close()
    return response


def knock(running: Running, **headers: str) -> int:
    """Ask for a websocket; return the status of the answer, 101 when it is opened."""
    return answer(
        running,
        "/ws",
        Connection="Upgrade",
        Upgrade="websocket",
        Sec_WebSocket_Version="13",
        Sec_WebSocket_Key=base64.b64encode(os.urandom(16)).decode(),
        Sec_WebSocket_Protocol="bokeh, nonsense",
        **headers,
    ).status


def test_foreign_hosts_and_origins_are_refused(curls):
    own = f"127.0.0.1:{curls.port}"
    assert answer(curls).status == 200
    assert answer(curls, Host=f"localhost:{curls.port}").status == 200
    assert answer(curls, Origin=f"http://{own}").status == 200
    assert knock(curls, Origin=f"http://{own}") == 101
    hosts = ("evil.example", f"evil.example:{curls.port}", "127.0.0.1", "", f"{own}@evil.example")
    for host in hosts:
        assert answer(curls, Host=host).status in (400, 403), host
        assert knock(curls, Host=host) in (400, 403), host
        assert answer(curls, "/static/js/bokeh.min.js", Host=host).status in (400, 403), host
    origins = (
        *("http://evil.example", "null", f"https://{own}", "http://127.0.0.1"),
        *(f"http://localhost:{curls.port}", f"http://{own}.evil.example", f"http://{own}/x"),
    )
    for origin in origins:
        assert answer(curls, Origin=origin).status == 403, origin
        assert knock(curls, Origin=origin) == 403, origin
    # What a foreign page includes or frames comes without an Origin; a link that is followed may.
    foreign = {"Sec_Fetch_Site": "cross-site"}
    for kind in ("script", "iframe"):
        assert answer(curls, "/autoload.js", **foreign, Sec_Fetch_Dest=kind).status == 403
    followed = {"Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}
    assert answer(curls, **foreign, **followed).status == 200


def test_a_foreign_page_gets_no_websocket(chromium, curls):
    """A browser on another origin, as a person's own would be."""
    context = chromium.new_context()
    page = context.new_page()
    page.goto("data:text/html,<p>elsewhere</p>")
    outcome = page.evaluate(
        """(url) => new Promise((resolve) => {
          const socket = new WebSocket(url, ["bokeh", "nonsense"]);
          socket.onopen = () => resolve("open");
          socket.onerror = () => resolve("refused");
        })""",
        f"ws://127.0.0.1:{curls.port}/ws",
    )
    context.close()
    assert outcome == "refused"


def test_others_need_the_token(chromium, board, tmp_path):
    with (
        board(tmp_path / "board"),
        monitor(tmp_path / "board", address="0.0.0.0", token=TOKEN) as running,
    ):
        own = f"http://127.0.0.1:{running.port}"
        cookie = f"myowave_{running.port}={TOKEN}"
        for path in ("/", "/static/js/bokeh.min.js", "/autoload.js", "/metadata", "/nothing"):
            assert answer(running, path).status == 403, path
            assert answer(running, path, Cookie=f"{cookie}x").status == 403, path
        assert answer(running, f"/?token={TOKEN}x").status == 403
        assert answer(running, f"/metadata?token={TOKEN}").status == 403
        assert knock(running, Origin=own) == 403
        assert knock(running, Origin=own, Cookie=cookie) == 101
        assert answer(running, Cookie=cookie).status == 200
        # The token does not open it to another host's pages.
        assert answer(running, Cookie=cookie, Host=f"evil.example:{running.port}").status == 403
        assert knock(running, Cookie=cookie, Origin="http://evil.example") == 403
        given = answer(running, f"/?token={TOKEN}")
        assert given.status == 302
        assert given.headers["Location"] == "/"
        assert "HttpOnly" in given.headers["Set-Cookie"]
        assert "SameSite=Strict" in given.headers["Set-Cookie"]
        with tab(chromium, f"{own}/?token={TOKEN}") as page:
            assert "token" not in page.page.url


@pytest.mark.parametrize("token", ["", "short", "with spaces in a token"])
def test_an_open_address_needs_a_good_token(tmp_path, token):
    session = Session(str(tmp_path / "none"))
    with pytest.raises(ConfigError, match="token"):
        serve(
            session,
            History(),
            stop=threading.Event(),
            settings=MonitorSettings(),
            address="0.0.0.0",
            token=token,
        )


def test_told_to_end_before_the_board_has_answered_it_opens_no_page(tmp_path):
    stop = threading.Event()
    stop.set()
    urls: list[str] = []
    session, settings = Session(str(tmp_path / "none")), MonitorSettings()
    serve(session, History(), stop=stop, settings=settings, on_url=urls.append)
    assert urls == []


def refusal(folder: Path, **options: Any) -> str:
    """Return why no page can be served so."""
    refusals: list[ConfigError] = []

    def try_it() -> None:
        session, settings = Session(str(folder / "none")), MonitorSettings()
        with pytest.raises(ConfigError) as caught:
            serve(session, History(), stop=threading.Event(), settings=settings, **options)
        refusals.append(caught.value)

    # A thread of its own: Playwright runs an event loop in this one.
    thread = threading.Thread(target=try_it)
    thread.start()
    thread.join(30)
    assert "\n" not in str(refusals[0])
    return str(refusals[0])


def test_a_port_that_is_taken_is_one_sentence(curls, tmp_path):
    assert "--http-port" in refusal(tmp_path, port=curls.port)


@pytest.mark.parametrize("address", ["monitor..local", 64 * "x"])
def test_an_address_that_is_no_name_is_one_sentence(tmp_path, address):
    said = refusal(tmp_path, address=address, token=TOKEN)
    assert said == f"address '{address}' cannot be the name of a computer"


@pytest.mark.parametrize(
    "wrong",
    [
        {"window_s": 1.0},
        {"window_s": float("nan")},
        {"threshold_on": 0.1, "threshold_off": 0.2},
        {"threshold_off": 0.0},
        {"theme": "pink"},
    ],
)
def test_settings_that_cannot_be_shown_are_refused(wrong):
    with pytest.raises(ConfigError, match="expected"):
        MonitorSettings(**wrong)
