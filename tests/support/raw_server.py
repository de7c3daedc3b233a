"""A server that says what a test tells it, byte by byte: for answers that no simulator would give."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

Speak = Callable[[socket.socket], None]


@contextmanager
def raw_server(speak: Speak, hear: Callable[[bytes], object] = len) -> Iterator[str]:
    """Serve requests one after the other, each on a connection of its own, with what `speak` says; yield the URL.

    `hear` is told each request first.
    """
    with socket.create_server(("127.0.0.1", 0)) as door:

        def serve() -> None:
            with suppress(OSError):  # the test is over
                while True:
                    peer, _ = door.accept()
                    with peer, suppress(OSError):  # the client may have heard enough
                        hear(read_request(peer))
                        speak(peer)

        server = threading.Thread(target=serve, daemon=True)
        server.start()
        try:
            yield f"http://127.0.0.1:{door.getsockname()[1]}"
        finally:
            door.shutdown(socket.SHUT_RDWR)
            server.join(10)


def read_request(peer: socket.socket) -> bytes:
    """Read one request to its end."""
    seen = b""
    while b"\r\n\r\n" not in seen or len(seen) < _length(seen):
        if not (part := peer.recv(65536)):
            raise ConnectionError
        seen += part
    return seen


def _length(request: bytes) -> int:
    """Return how long a request is whose head is there."""
    head, end, _ = request.partition(b"\r\n\r\n")
    announced = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return len(head + end) + (int(announced[0].partition(b":")[2]) if announced else 0)


def says(content: bytes, status: str = "200 OK", *headers: str) -> Speak:
    """Answer with this content, and close."""
    return lambda peer: peer.sendall(answer(content, status, *headers))


def answer(content: bytes, status: str = "200 OK", *headers: str) -> bytes:
    """Return an answer with this content, as it goes over the wire."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(content)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + content


def trickle(head: bytes, pieces: list[bytes], ended: threading.Event) -> Speak:
    """Say something every 100 ms: slow, but never silent for long. `ended` stops it."""

    def speak(peer: socket.socket) -> None:
        peer.sendall(head)
        for piece in pieces:
            if ended.wait(0.1):
                return
            peer.sendall(piece)

    return speak
