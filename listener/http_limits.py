"""Limits on an HTTP answer: a deadline for all of it, however slowly it drips in, and a size.

A socket's timeout counts from byte to byte, so that a server that sends one a second is never late. Here a thread shuts
the connection's socket when the time is up; whoever reads from it then gets an error like that of any lost connection.

And a limit on a request: it may be asked, before each piece of it goes to the socket, whether it still may leave.
"""

import socket
import struct
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from math import inf
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

FORGET = struct.pack("ii", 1, 0)
"""SO_LINGER: what has not left the machine when the socket is closed, or the process killed, never does. Else the
system would go on for a quarter of an hour to deliver a request that nobody waits for any more.
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
        _in_use.request.connection = self
        return super().request(*arguments, **options)  # type: ignore[misc]

    def send(self, data: Any) -> None:
        request: _Request = _in_use.request
        if request.may_leave is None:
            super().send(data)  # type: ignore[misc]
            return
        if self.sock is None:
            self.connect()  # first: it takes its time
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, FORGET)
        for start in range(0, len(data), PIECE):
            if not request.may_leave():
                raise Withheld(begun=request.has_begun)
            request.has_begun = True
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


class _Request:
    """A request under way, and its connection as soon as it has one. `has_begun`: a part of it has left."""

    def __init__(self, due_at: float, may_leave: Callable[[], bool] | None) -> None:
        self.due_at = due_at
        self.may_leave = may_leave
        self.has_begun = False
        self.connection: Any = None
        self.is_late = False

    def shut(self) -> None:
        self.is_late = True
        used = getattr(self.connection, "sock", None)
        if used is not None:
            with suppress(OSError):  # it was closed a moment ago
                used.shutdown(socket.SHUT_RDWR)


class _Watch:
    """One thread for all deadlines of the process: a request need not wait until one of its own has started.

    It sleeps until the first of them. What ended in time does not wake it, so that it finds nothing to do then.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._requests: set[_Request] = set()
        self._wakes_at = inf
        self._thread: threading.Thread | None = None

    def begin(self, request: _Request) -> None:
        with self._changed:
            self._requests.add(request)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="listener-deadlines", daemon=True)
                self._thread.start()
            elif request.due_at < self._wakes_at:
                self._changed.notify()

    def end(self, request: _Request) -> None:
        with self._changed:
            self._requests.discard(request)

    def _run(self) -> None:
        with self._changed:
            while True:
                now = time.monotonic()
                for late in [request for request in self._requests if request.due_at <= now]:
                    self._requests.remove(late)
                    late.shut()
                self._wakes_at = min((request.due_at for request in self._requests), default=inf)
                self._changed.wait(None if self._wakes_at == inf else self._wakes_at - now)


_watch = _Watch()


@contextmanager
def deadline(seconds: float, may_leave: Callable[[], bool] | None = None) -> Iterator[None]:
    """Shut the socket of the request made inside, in this thread and on a watched pool, when the time is up.

    Raises TimeoutError then, whatever the reader made of it: headers that break off look like an answer to some. The
    request raises Withheld as soon as `may_leave` says no.
    """
    request = _in_use.request = _Request(time.monotonic() + seconds, may_leave)
    _watch.begin(request)
    try:
        yield
    finally:
        _watch.end(request)
        if request.is_late:
            raise TimeoutError(f"no whole answer within {seconds:.0f} s")


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
