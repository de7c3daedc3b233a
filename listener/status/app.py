"""The paths that the running listener serves, and the gate before them.

Nobody else's web page may read them: a Host that was not asked for is refused on every path (a name that was rebound to
this machine would be one), as is every method that is not a read, and every answer carries HEADERS.
"""

import ipaddress
import re
from collections.abc import Collection
from email.utils import formatdate

from starlette.applications import Starlette
from starlette.convertors import Convertor, register_url_convertor
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from listener.status.pages import Pages, Sources

LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})

HOST = re.compile(r"(?:\[(?P<literal>[0-9a-fA-F:.]+)\]|(?P<name>[A-Za-z0-9._-]+))(?::[0-9]*)?")
"""A Host header; the port may be any (RFC 9110, section 7.2)."""

READING_METHODS = ("GET", "HEAD")

POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self'",
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
    "require-trusted-types-for": "'script'",  # a text can't become HTML, not even by a mistake of ours
    "trusted-types": "'none'",
}
"""A page may load its own files and ask its own host, and nothing else."""

HEADERS = {
    "Content-Security-Policy": "; ".join(f"{name} {sources}" for name, sources in POLICY.items()),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
UNLESS_SAID_OTHERWISE = {"Cache-Control": "no-store"}


class AnyText(Convertor[str]):
    """A part of a path that may hold anything, line breaks too; Starlette's own `path` ends at one."""

    regex = "(?s:.*)"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("any", AnyText())


def build_app(sources: Sources, allowed_hosts: Collection[str] = ()) -> Starlette:
    """Return the application. `allowed_hosts` are Host names besides the loopback ones, IPv6 without brackets."""
    pages = Pages(sources)
    app = Starlette(
        routes=[
            Route("/", pages.index),
            Route("/page/now.json", pages.now),
            Route("/page/past.json", pages.past),
            Route("/orders/{number:any}", pages.order),
            Route("/static/{version}/{name}", pages.file),
            Route("/status.json", pages.status),
            Route("/metrics", pages.scraped),
            Route("/health/live", pages.live),
            Route("/health/ready", pages.ready),
        ],
        middleware=[Middleware(Gate, hosts=LOOPBACK_HOSTS | {host.lower() for host in allowed_hosts})],
        exception_handlers={Exception: _fault},
    )
    app.router.default = JSONResponse({"error": "there is no such page"}, 404)
    app.router.redirect_slashes = False  # a redirect would repeat the Host that it was given
    return app


class Gate:
    """Lets through what may be asked, and puts HEADERS on every answer, refusals and faults included."""

    def __init__(self, app: ASGIApp, hosts: Collection[str]) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers["Date"] = formatdate(usegmt=True)
                for name, value in UNLESS_SAID_OTHERWISE.items():
                    headers.setdefault(name, value)
            await send(message)

        await (self._refusal(scope) or self._app)(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> ASGIApp | None:
        if not self._was_asked_for(Headers(scope=scope).get("host", ""), scope):
            return JSONResponse({"error": "this Host is not served here; STATUS_ADDRESS names what is"}, 421)
        if scope["method"] not in READING_METHODS:
            allowed = {"Allow": ", ".join(READING_METHODS)}
            return JSONResponse({"error": "read-only: GET and HEAD are answered"}, 405, headers=allowed)
        return None

    def _was_asked_for(self, header: str, scope: Scope) -> bool:
        match = HOST.fullmatch(header)
        if not match:
            return False
        host = (match["literal"] or match["name"]).lower()
        return host in self._hosts or (_is_address(host) and host == scope["server"][0])


def _is_address(host: str) -> bool:
    """`host` is a literal address, which no name server can point elsewhere."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


async def _fault(_: Request, __: Exception) -> JSONResponse:
    # Sent from outside the gate; the server logs the traceback.
    return JSONResponse(
        {"error": "a fault of the listener; its log has the traceback"}, 500, headers=HEADERS | UNLESS_SAID_OTHERWISE
    )
