"""Limits on an HTTP answer: a deadline for all of it, however slowly it drips in, and a size.

A socket's timeout counts from byte to byte, so that a server that sends one a second is never late. Here a timer shuts
the connection's socket when the time is up; whoever reads from it then gets an error like that of any lost connection.

And a limit on a request: it may be asked, before each piece of it goes to the socket, whether it still may leave.
"""

import socket
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from urllib3 import BaseHTTPResponse, HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection

PIECE = 16 * 1024
"""How much of a request goes to the socket before it is asked again whether it still may leave."""
MOST_PARTS = 1_000_000
PARTS_OF_A_LIST = 3
"""Values of a JSON, where a list or an object counts as several. Reading 16 MB of `[],` took four seconds, in which
nothing else runs, and 500 MB; a page of 500 orders has some 100,000 values.
"""

_in_use = threading.local()


class TooLong(Exception):
    """The answer has more bytes than are read."""


class Withheld(Exception):
    """The request may not leave any more. `begun`: a part of it has."""

    def __init__(self, *, begun: bool) -> None:
        super().__init__("the request was withheld")
        self.begun = begun


class _Watched:
    """Makes itself known as the connection of this thread's request. Mixed into urllib3's two kinds of connection."""

    sock: Any
    connect: Callable[[], None]

    def request(self, *arguments: Any, **options: Any) -> Any:
        _in_use.request["connection"] = self
        return super().request(*arguments, **options)  # type: ignore[misc]

    def send(self, data: Any) -> None:
        request = _in_use.request
        if request["may_leave"] is None:
            super().send(data)  # type: ignore[misc]
            return
        if self.sock is None:
            self.connect()  # first: it takes its time
        for start in range(0, len(data), PIECE):
            if not request["may_leave"]():
                raise Withheld(begun="begun" in request)
            request["begun"] = True
            super().send(data[start : start + PIECE])  # type: ignore[misc]


class _HttpConnection(_Watched, HTTPConnection):
    pass


class _HttpsConnection(_Watched, HTTPSConnection):
    pass


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _HttpConnection


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _HttpsConnection


def watched_pool(**options: Any) -> PoolManager:
    """Return a pool whose requests obey `deadline`."""
    pool = PoolManager(**options)
    pool.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}
    return pool


@contextmanager
def deadline(seconds: float, may_leave: Callable[[], bool] | None = None) -> Iterator[None]:
    """Shut the socket of the request made inside, in this thread and on a watched pool, when the time is up.

    Raises TimeoutError then, whatever the reader made of it: headers that break off look like an answer to some. The
    request raises Withheld as soon as `may_leave` says no.
    """
    request: dict[str, Any] = {"may_leave": may_leave}
    _in_use.request = request
    timer = threading.Timer(seconds, _shut, [request])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        if "late" in request:
            raise TimeoutError(f"no whole answer within {seconds:.0f} s")


def _shut(request: dict[str, Any]) -> None:
    request["late"] = True
    connection = getattr(request.get("connection"), "sock", None)
    if connection is not None:
        with suppress(OSError):  # it was closed a moment ago
            connection.shutdown(socket.SHUT_RDWR)


def body_parts(response: BaseHTTPResponse, largest: int) -> Generator[bytes, None, None]:
    """Yield the body of a response that was not preloaded, and give its connection back at the end. Raises TooLong.

    Left early, it closes the connection.
    """
    size, ended = 0, False
    try:
        for part in response.stream(64 * 1024):
            size += len(part)
            if size > largest:
                raise TooLong
            yield part
        ended = True
    finally:
        if ended:
            response.release_conn()
        else:
            response.close()


def read_body(response: BaseHTTPResponse, largest: int) -> bytes:
    """Return the body of a response that was not preloaded, and give its connection back. Raises TooLong.

    A body of more than MOST_PARTS is too long whatever its size.
    """
    body = b"".join(body_parts(response, largest))
    if body.count(b",") + PARTS_OF_A_LIST * (body.count(b"[") + body.count(b"{")) > MOST_PARTS:
        raise TooLong
    return body
