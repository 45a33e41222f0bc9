"""Run the web server of the monitor: Bokeh's application behind our guard, on one event loop."""

import asyncio
import errno
import logging
import threading
from collections.abc import Callable

from bokeh.application import Application
from bokeh.application.handlers.function import FunctionHandler
from bokeh.server.server import BaseServer
from bokeh.server.tornado import BokehTornado
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.netutil import bind_sockets

from myowave.errors import ConfigError
from myowave.live.guard import TOKEN_PARAMETER, Guard
from myowave.live.page import Monitor

# How long Ctrl-C waits at most.
STOP_POLL_S = 0.1
# Of a tab that was closed: its document is dropped after this time, so a reload finds it.
CLOSED_TAB_MS = 5_000


async def run_server(
    monitor: Monitor,
    address: str,
    port: int,
    token: str,
    *,
    stop: threading.Event,
    ready: Callable[[str], None],
) -> None:
    """Serve the pages of `monitor` until `stop` is set; `ready` gets the address of the first.

    Raises
    ------
    ConfigError
        If the address or port cannot be listened on.
    """
    # A tab that is closed while a message is under way, a request refused: no news for a person.
    for name in ("bokeh", "tornado.access", "tornado.general"):
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        sockets = bind_sockets(port, address)
    except OSError as error:
        raise ConfigError(_why_not(error, address, port)) from error
    except UnicodeError as error:
        raise ConfigError(f"address '{address}' cannot be the name of a computer") from error
    port = sockets[0].getsockname()[1]
    application = BokehTornado(
        {"/": Application(FunctionHandler(monitor.open_tab))},
        # The guard has asked already, and knows the port.
        extra_websocket_origins=["*"],
        use_index=False,
        unused_session_lifetime_milliseconds=CLOSED_TAB_MS,
        check_unused_sessions_milliseconds=CLOSED_TAB_MS // 2,
    )
    http = HTTPServer(Guard(application, address, port, token))
    http.add_sockets(sockets)
    server = BaseServer(IOLoop.current(), application, http)
    server.start()
    shown = f"[{address}]" if ":" in address else address
    ready(f"http://{shown}:{port}/" + (f"?{TOKEN_PARAMETER}={token}" if token else ""))
    try:
        while not stop.is_set():
            await asyncio.sleep(STOP_POLL_S)
    finally:
        server.stop()
        await http.close_all_connections()


def _why_not(error: OSError, address: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} of {address} is taken, perhaps by another monitor: end that one or name "
            "another port with --http-port"
        )
    if error.errno == errno.EACCES:
        return f"port {port} of {address} is not allowed, expected one above 1023"
    return f"cannot listen on port {port} of {address}: {error.strerror or error}"
