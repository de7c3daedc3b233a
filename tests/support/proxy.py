"""A TCP proxy that stands for the network between the listener and a server, and can break the way networks do.

The rule: after a method has returned, its effect is in force on every connection, open or new.

    cut      both ends of every connection get a reset, as from a server that died or a firewall that forgot
    refuse   nobody can connect; what is open stays open
    hold     bytes are taken and acknowledged but not passed on: the silence of a half-open link
    delay    every piece takes that much longer
"""

import socket
import struct
import threading
from contextlib import suppress
from typing import Self

from psycopg.conninfo import make_conninfo

from listener.embedded.postgres import free_port

PIECE = 65_536
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Lane:
    """One direction of all connections."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._held = False
        self._delay = 0.0

    def hold(self) -> None:
        """Let nothing through; senders notice nothing until their buffers are full."""
        self._set(held=True)

    def release(self) -> None:
        """Let through what waited, and all that follows."""
        self._set(held=False)

    def delay(self, seconds: float) -> None:
        """Make every piece wait; 0 ends that."""
        self._set(delay=seconds)

    def wait_to_pass(self, link: "Link") -> bool:
        """Wait as long as this lane asks; False: the connection ended meanwhile, and the bytes are lost."""
        with self._changed:
            self._changed.wait_for(lambda: link.ended, timeout=self._delay or 0)
            self._changed.wait_for(lambda: link.ended or not self._held)
            return not link.ended

    def wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _set(self, held: bool | None = None, delay: float | None = None) -> None:
        with self._changed:
            self._held = self._held if held is None else held
            self._delay = self._delay if delay is None else delay
            self._changed.notify_all()


class Link:
    """One connection: two sockets, and a thread for each direction."""

    def __init__(self, client: socket.socket, server: socket.socket, to_server: Lane, to_client: Lane) -> None:
        self.ended = False
        self._sockets = (client, server)
        self._lanes = (to_server, to_client)
        self._pumps = (
            threading.Thread(target=self._pump, args=(client, server, to_server), daemon=True),
            threading.Thread(target=self._pump, args=(server, client, to_client), daemon=True),
        )
        for pump in self._pumps:
            pump.start()

    def close(self, *, reset: bool) -> None:
        self._wake_pumps(socket.SHUT_RD if reset else socket.SHUT_RDWR, reset=reset)
        for pump in self._pumps:
            pump.join(1)
            if pump.is_alive():  # it writes to somebody who does not read, and only this ends a send
                self._wake_pumps(socket.SHUT_RDWR, reset=reset)
                pump.join()
        for end in self._sockets:
            end.close()

    def _wake_pumps(self, how: int, *, reset: bool) -> None:
        # close() alone does not end a recv() in another thread and would send nothing: hence shutdown() first.
        self.ended = True
        for end in self._sockets:
            with suppress(OSError):  # the far end was faster
                if reset:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
                end.shutdown(how)
        for lane in self._lanes:
            lane.wake()

    def _pump(self, source: socket.socket, sink: socket.socket, lane: Lane) -> None:
        with suppress(OSError):  # an end that is gone ends the connection, and that is passed on below
            while (piece := source.recv(PIECE)) and lane.wait_to_pass(self):
                sink.sendall(piece)
        if not self.ended:
            self._wake_pumps(socket.SHUT_RDWR, reset=False)


class TcpProxy:
    """`to_server` and `to_client` are the lanes; everything else concerns both."""

    def __init__(self, target_port: int, address: str = "127.0.0.1") -> None:
        """`address`: of this machine, where it lets others in."""
        self.address = address
        self.port = free_port()
        self.to_server = Lane()
        self.to_client = Lane()
        self._target_port = target_port
        self._links: list[Link] = []
        self._lock = threading.Lock()
        self._door: socket.socket | None = None
        self._porter: threading.Thread | None = None
        self._refusing = True
        self._knocks: set[tuple[str, int]] = set()

    def __enter__(self) -> Self:
        self.accept()
        return self

    def __exit__(self, *_: object) -> None:
        self.refuse()
        self._close_links(reset=False)

    def url(self, target: str) -> str:
        """Return `target`, a database's URL, as conninfo that leads through here."""
        return make_conninfo(target, host=self.address, port=self.port)

    def cut(self) -> None:
        """Reset every connection there is; new ones are welcome."""
        if self._door:
            self._knock()
        self._close_links(reset=True)

    def refuse(self) -> None:
        """Answer new connections with a refusal until `accept`; open ones stay."""
        if self._door and self._porter:
            self._refusing = True
            self._knock()  # close() alone need not wake the accept() of another thread
            self._porter.join()
            self._door.close()
            self._door = self._porter = None

    def accept(self) -> None:
        """Take connections again, on the same port."""
        if self._door is None:
            self._refusing = False
            self._door = socket.create_server((self.address, self.port), backlog=64)
            self._porter = threading.Thread(target=self._serve, args=(self._door,), daemon=True)
            self._porter.start()

    def hold(self) -> None:
        """Hold both lanes."""
        self.to_server.hold()
        self.to_client.hold()

    def release(self) -> None:
        """Release both lanes."""
        self.to_server.release()
        self.to_client.release()

    def _serve(self, door: socket.socket) -> None:
        while True:
            client, address = door.accept()
            with self._lock:
                knocked = address in self._knocks
            if not knocked:
                self._connect(client)
                continue
            self._knocks.discard(address)
            client.close()
            if self._refusing:
                return

    def _knock(self) -> None:
        """Return when all who connected before us have been let in: connect() succeeds before accept() is called."""
        with self._lock:
            visitor = socket.create_connection((self.address, self.port))
            self._knocks.add(visitor.getsockname())
        with visitor:
            visitor.recv(1)

    def _connect(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(("127.0.0.1", self._target_port))
        except OSError:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            client.close()
            return
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            for link in [link for link in self._links if link.ended]:
                self._links.remove(link)
                link.close(reset=False)
            self._links.append(Link(client, server, self.to_server, self.to_client))

    def _close_links(self, *, reset: bool) -> None:
        with self._lock:
            links, self._links = self._links, []
        for link in links:
            link.close(reset=reset)
