"""Serve the monitor's page: to this machine only, or with a token to others.

Bokeh is the server and draws the page: it is kept well, is plain Python and a websocket, keeps a
document for each tab in step with Python, sends arrays as bytes, and carries its own JavaScript, so
that nothing is loaded from the network. Only the lowest and highest value of each bin are sent, a
point for two columns of the screen. What it costs, and how late the screen is, is measured by
`tools/bench_monitor.py`.
"""

import asyncio
import re
import threading
import webbrowser
from collections.abc import Callable
from typing import TYPE_CHECKING

from myowave.errors import ConfigError, ToolError
from myowave.live.settings import MonitorSettings

if TYPE_CHECKING:
    from myowave.live.history import History
    from myowave.live.recorded_emg import RecordedEmg
    from myowave.live.session import Session

DEFAULT_ADDRESS = "127.0.0.1"
# What a guess over a network cannot reach.
TOKEN_LENGTH = 16
# What needs no quoting, neither in an address nor in a cookie.
_TOKEN = re.compile(r"[A-Za-z0-9_-]*")


def serve(
    session: "Session",
    history: "History",
    *,
    stop: threading.Event,
    settings: MonitorSettings,
    address: str = DEFAULT_ADDRESS,
    port: int = 0,
    token: str = "",
    recorded_emg: "RecordedEmg | None" = None,
    open_browser: bool = False,
    on_url: Callable[[str], None] = lambda url: None,
) -> None:
    """Serve the page until `stop` is set; blocks.

    Parameters
    ----------
    session : Session
        What is shown and recorded; another thread runs it.
    history : History
        Listens to the session.
    stop : threading.Event
        Ends the server, within a tenth of a second; none is begun when it is set already.
    settings : MonitorSettings
        How each tab opens.
    address, port : str, int
        Where to listen; port 0 takes a free one.
    token : str
        Secret that the page's address holds; needed on an address others can reach.
    recorded_emg : RecordedEmg, optional
        Shown beside the model's envelope.
    open_browser : bool
        Whether to show the page in the reader's browser.
    on_url : callable
        Called once with the address of the page, token included, when it can be opened.

    Raises
    ------
    ConfigError
        If others could reach the address and there is no token, or it cannot be listened on.
    ToolError
        If Bokeh is not installed.
    """
    try:
        import bokeh.server.server  # noqa: F401, tried here so that the error names the extra
    except ModuleNotFoundError as error:
        raise ToolError(
            f"the page needs {error.name}: pip install '.[live]' in the clone, or use --plain"
        ) from error
    from myowave.live.guard import is_loopback
    from myowave.live.page import Monitor
    from myowave.live.web import run_server

    if not is_loopback(address) and len(token) < TOKEN_LENGTH:
        raise ConfigError(
            f"address {address} can be reached by others: expected a token of at least "
            f"{TOKEN_LENGTH} characters"
        )
    if not _TOKEN.fullmatch(token):
        raise ConfigError("the token holds characters other than letters, digits, '-' and '_'")
    if stop.is_set():
        # Before the board had answered: no page is shown that would be gone at once.
        return
    monitor = Monitor(session, history, settings, recorded_emg)
    session.add(monitor.markers)

    def ready(url: str) -> None:
        on_url(url)
        if open_browser:
            # Some browsers' launchers return only when the browser is closed.
            threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()

    asyncio.run(run_server(monitor, address, port, token, stop=stop, ready=ready))
