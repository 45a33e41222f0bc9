"""Stands in front of the monitor's pages: no request reaches them that is not from their reader.

A page on 127.0.0.1 can be reached by every site the reader has open, through a name that resolves
to 127.0.0.1 (DNS rebinding) or by a request across origins, and one on another address by everyone
in the network. Hence three questions, asked of HTTP and websocket requests alike, each refused with
403: is the host that the browser thinks it talks to ours; does the request come from our own page;
does it know the token, where there is one.
"""

import hmac
import ipaddress
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tornado.httputil import HTTPMessageDelegate, HTTPServerRequest
from tornado.routing import Router
from tornado.web import Application, ErrorHandler, RequestHandler

TOKEN_PARAMETER = "token"


def is_loopback(address: str) -> bool:
    """Return whether an address is reached from this machine only."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


class Guard(Router):
    """Hands requests to `application` that it finds no fault with.

    Parameters
    ----------
    application : Application
        What is guarded.
    address : str
        Address the server listens on; "0.0.0.0" and "::" are all of this machine's.
    port : int
        Port it listens on.
    token : str
        Secret that every request must bring, as a cookie, or once in the address of the page;
        "" for none.
    """

    def __init__(self, application: Application, address: str, port: int, token: str = "") -> None:
        self._application = application
        self._is_our_host = _host_check(address)
        self._port = port
        self._token = token
        # Cookies know no ports: two monitors on one host must not take each other's.
        self._cookie = f"myowave_{port}"

    def find_handler(self, request: HTTPServerRequest, **kwargs: Any) -> HTTPMessageDelegate | None:
        """Return what answers the request; tornado calls this once the headers are there."""
        if not (self._host_is_ours(request) and self._origin_is_ours(request)):
            return self._answer(request, ErrorHandler, status_code=403)
        if self._token and not self._is_token(self._cookie_of(request)):
            given = parse_qs(request.query).get(TOKEN_PARAMETER, [""])[0]
            if request.method == "GET" and request.path == "/" and self._is_token(given):
                # From here on the token is in a cookie, no longer in the reader's address bar.
                return self._answer(request, _KeepToken, cookie=self._cookie, token=self._token)
            return self._answer(request, ErrorHandler, status_code=403)
        return self._application.find_handler(request, **kwargs)

    def _answer(
        self, request: HTTPServerRequest, handler: type[RequestHandler], **arguments: Any
    ) -> HTTPMessageDelegate:
        return self._application.get_handler_delegate(request, handler, arguments)

    def _host_is_ours(self, request: HTTPServerRequest) -> bool:
        return self._is_ours(request.headers.get_list("Host"), "http://{}".format)

    def _origin_is_ours(self, request: HTTPServerRequest) -> bool:
        origins = request.headers.get_list("Origin")
        if origins:
            # Ours is not enough: it must be the very page that is asked.
            own = [f"http://{host}" for host in request.headers.get_list("Host")]
            return origins == own and self._is_ours(origins, str)
        # A browser sends no Origin with what a foreign page includes by a tag (a script, a frame),
        # but says that it does; a link that the reader follows is no such request.
        site = request.headers.get("Sec-Fetch-Site", "none")
        followed = (
            request.headers.get("Sec-Fetch-Mode") == "navigate"
            and request.headers.get("Sec-Fetch-Dest") == "document"
        )
        return site in ("none", "same-origin") or followed

    def _is_ours(self, values: list[str], url: Callable[[str], str]) -> bool:
        if len(values) != 1:
            return False
        try:
            parts = urlsplit(url(values[0]))
            host, port = parts.hostname or "", parts.port or 80
        except ValueError:
            return False
        plain = parts.scheme == "http" and not (parts.path or parts.query or parts.username)
        return plain and port == self._port and self._is_our_host(host)

    def _cookie_of(self, request: HTTPServerRequest) -> str:
        morsel = request.cookies.get(self._cookie)
        return morsel.value if morsel is not None else ""

    def _is_token(self, given: str) -> bool:
        # In constant time: how long a refusal takes must not tell how much of a guess was right.
        return hmac.compare_digest(given.encode(), self._token.encode())


class _KeepToken(RequestHandler):
    """Puts the token into a cookie and shows the page."""

    def initialize(self, cookie: str, token: str) -> None:
        """Take what tornado passes on."""
        self._cookie = cookie
        self._token = token

    def get(self) -> None:
        """Redirect to the page without the token in its address."""
        self.set_cookie(self._cookie, self._token, httponly=True, samesite="Strict", path="/")
        self.set_header("Referrer-Policy", "no-referrer")
        self.redirect("/")


def _host_check(address: str) -> Callable[[str], bool]:
    """Return what tells whether a host name or address in a request is this server's."""
    names = {address.lower()}
    if is_loopback(address):
        names |= {"localhost", "127.0.0.1", "::1"}
        return lambda host: host in names
    own = socket.gethostname().lower()
    names |= {own, f"{own.partition('.')[0]}.local", socket.getfqdn().lower()}
    if address not in ("0.0.0.0", "::"):
        return lambda host: host in names
    names |= {"localhost"}

    def any_of_ours(host: str) -> bool:
        # All addresses of this machine: a number in the address bar was not rebound by any name
        # server.
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return host in names
        return True

    return any_of_ours
