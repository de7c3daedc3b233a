"""A small HTTP/1.1 server on loopback: one thread a connection, kept alive, each answer in a single send.

Written for load, where the standard library's server spends more on a request than the simulator does on a hundred
orders. stop() ends every thread and closes every socket before it returns; a client that goes away is not an error.
"""

import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from selectors import EVENT_READ, DefaultSelector
from threading import Lock, Thread

LOOPBACK = "127.0.0.1"
MAX_HEAD_BYTES = 65_536
MAX_BODY_BYTES = 64 * 1024 * 1024
RECEIVE_BYTES = 262_144


@dataclass(frozen=True, slots=True)
class RawRequest:
    """A request as it came; header names are in lower case, the times are when its head was complete."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    received_at: float
    received_monotonic: float


@dataclass(frozen=True, slots=True)
class Reply:
    """Bytes to send, possibly none, and whether the connection ends with them."""

    data: bytes = b""
    close: bool = False


class UnreadableRequest(Exception):
    """Not HTTP, or not of the part of HTTP that is served; the text is the status line's end."""


class LoopbackServer:
    """Serves `answer`, which is called from many threads at once. start() and stop() may alternate."""

    def __init__(self, answer: Callable[[RawRequest], Reply]) -> None:
        self._answer = answer
        self._lock = Lock()
        self._connections: dict[socket.socket, Thread] = {}
        self._acceptor: _Acceptor | None = None

    def start(self, port: int) -> int:
        """Listen on a port, 0 for any free one, and return it; OSError when it is taken."""
        if self._acceptor is None:
            self._acceptor = _Acceptor(port, self._accept)
            self._acceptor.start()
        return self._acceptor.port

    def stop(self) -> None:
        """Close everything at once; requests under way get no answer."""
        if self._acceptor is None:
            return
        self._acceptor.stop()
        self._acceptor = None
        with self._lock:
            connections = dict(self._connections)
            for connection in connections:
                _hang_up(connection)
        for thread in connections.values():
            thread.join()

    def _accept(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        thread = Thread(target=self._serve, args=(connection,), name="simulator-connection", daemon=True)
        with self._lock:
            self._connections[connection] = thread
        thread.start()

    def _serve(self, connection: socket.socket) -> None:
        # Whoever closes does it under the lock and after taking the entry out: stop() must never meet a file
        # descriptor that was closed and has gone to somebody else since.
        try:
            with suppress(OSError):  # the client hung up, or stop() did: nobody is left to tell
                self._converse(connection)
        finally:
            with self._lock:
                del self._connections[connection]
                connection.close()

    def _converse(self, connection: socket.socket) -> None:
        reader = _RequestReader(connection)
        try:
            while (request := reader.next()) is not None:
                reply = self._answer(request)
                connection.sendall(reply.data)
                if reply.close or _wants_close(request):
                    return
        except UnreadableRequest as error:
            connection.sendall(f"HTTP/1.1 {error}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())


class _Acceptor(Thread):
    """Takes connections until it is told to stop, through a socket pair: closing a socket does not wake its reader."""

    def __init__(self, port: int, accept: Callable[[socket.socket], None]) -> None:
        super().__init__(name="simulator-accept", daemon=True)
        self._listening = socket.create_server((LOOPBACK, port), backlog=256)
        self._wake, self._woken = socket.socketpair()
        self._accept = accept
        self.port: int = self._listening.getsockname()[1]

    def run(self) -> None:
        with self._listening, self._woken, DefaultSelector() as selector:
            selector.register(self._listening, EVENT_READ)
            selector.register(self._woken, EVENT_READ)
            while all(key.fileobj is not self._woken for key, _events in selector.select()):
                with suppress(OSError):  # the client was gone before it was taken
                    self._accept(self._listening.accept()[0])

    def stop(self) -> None:
        with self._wake:
            self._wake.send(b"x")
            self.join()


class _RequestReader:
    """Cuts requests out of a connection's bytes, which may hold several, or less than one."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._buffer = bytearray()

    def next(self) -> RawRequest | None:
        """Return the next request, or None when the client has hung up."""
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) > MAX_HEAD_BYTES:
                raise UnreadableRequest("431 Request Header Fields Too Large")
            if not self._receive():
                return None
        head = _Head.parse(bytes(self._take(end + 4)))
        if head.headers.get("expect", "").lower() == "100-continue":
            self._connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        while len(self._buffer) < head.length:
            if not self._receive():
                return None
        body = bytes(self._take(head.length))
        return RawRequest(head.method, head.target, head.headers, body, head.received_at, head.received_monotonic)

    def _receive(self) -> bool:
        data = self._connection.recv(RECEIVE_BYTES)
        self._buffer += data
        return bool(data)

    def _take(self, length: int) -> bytearray:
        taken = self._buffer[:length]
        del self._buffer[:length]
        return taken


@dataclass(frozen=True, slots=True)
class _Head:
    method: str
    target: str
    headers: dict[str, str]
    received_at: float = field(default_factory=time.time)
    received_monotonic: float = field(default_factory=time.monotonic)

    @classmethod
    def parse(cls, head: bytes) -> "_Head":
        first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
        words = first.split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            raise UnreadableRequest("400 Bad Request")
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        if words[2] == "HTTP/1.0":
            headers.setdefault("connection", "close")
        if "transfer-encoding" in headers:
            raise UnreadableRequest("411 Length Required")
        return cls(words[0], words[1], headers)

    @property
    def length(self) -> int:
        text = self.headers.get("content-length", "0")
        if not (text.isascii() and text.isdigit()):
            raise UnreadableRequest("400 Bad Request")
        if int(text) > MAX_BODY_BYTES:
            raise UnreadableRequest("413 Content Too Large")
        return int(text)


def encode_reply(status: int, headers: dict[str, str], body: bytes, *, cut: bool = False) -> Reply:
    """Return an answer as bytes; a cut one ends in the middle of its body, and so does the connection."""
    lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Unknown')}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    head = "\r\n".join((*lines, "", "")).encode("latin-1")
    return Reply(head + body[: len(body) // 2], close=True) if cut else Reply(head + body)


_REASONS = {status.value: status.phrase for status in HTTPStatus}


def _wants_close(request: RawRequest) -> bool:
    return "close" in request.headers.get("connection", "").lower()


def _hang_up(connection: socket.socket) -> None:
    with suppress(OSError):  # the client may have closed it already
        connection.shutdown(socket.SHUT_RDWR)
