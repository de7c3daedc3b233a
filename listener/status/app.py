"""The pages of the running listener: every answer comes from memory, with no query and no wait.

Nobody else's web page may read them: a Host that was not asked for is refused on every path (a name that was rebound to
this machine would be one), as is every method that is not a read, and every answer carries HEADERS.
"""

import ipaddress
import re
from collections.abc import Callable, Collection

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from listener.health import unready_reasons
from listener.metrics import Metrics
from listener.status.prometheus import CONTENT_TYPE, Exporter

LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})

HOST = re.compile(r"(?:\[(?P<literal>[0-9a-fA-F:.]+)\]|(?P<name>[A-Za-z0-9._-]+))(?::[0-9]*)?")
"""A Host header; the port may be any (RFC 9110, section 7.2)."""

READING_METHODS = ("GET", "HEAD")

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def build_app(metrics: Metrics, liveness: Callable[[], bool], allowed_hosts: Collection[str] = ()) -> Starlette:
    """Return the application. `allowed_hosts` are Host names besides the loopback ones, IPv6 without brackets."""

    exporter = Exporter(metrics)

    async def status(_: Request) -> JSONResponse:
        return JSONResponse(metrics.snapshot())

    async def live(_: Request) -> JSONResponse:
        alive = liveness()
        return JSONResponse({"live": alive}, 200 if alive else 503)

    async def ready(_: Request) -> JSONResponse:
        reasons = list(unready_reasons(metrics.snapshot()))
        return JSONResponse(
            {"ready": False, "reasons": reasons} if reasons else {"ready": True}, 503 if reasons else 200
        )

    async def scraped(_: Request) -> Response:
        return Response(exporter.text(), media_type=CONTENT_TYPE)

    pages = {"/status.json": status, "/metrics": scraped, "/health/live": live, "/health/ready": ready}
    app = Starlette(
        routes=[Route(path, page) for path, page in pages.items()],
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
                MutableHeaders(scope=message).update(HEADERS)
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
    return JSONResponse({"error": "a fault of the listener; its log has the traceback"}, 500, headers=HEADERS)
