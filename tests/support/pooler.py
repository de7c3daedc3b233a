"""A transaction pooler: a client has a server connection only from the first message of a transaction to its end.

It does what PgBouncer does with pool_mode = transaction, server_round_robin = 1 and max_prepared_statements = 0: the
strictest that a program may meet, since nearly every transaction has another server connection than the one before.

    a session's state   (settings, advisory locks, named statements, LISTEN) stays on the server connection it came to
    notifications       are not delivered to anybody
    start-up parameters other than user, database and application_name are refused; the name follows its client
    a client that goes in the middle of a transaction takes its server connection along

Limits: no TLS, no password, no cancel requests, one database and one user, those of the target.
"""

import select
import socket
import socketserver
import struct
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Self

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from listener.embedded.postgres import free_port

PIECE = 65_536
PROTOCOL_3 = 196_608
NO_ENCRYPTION_HERE = (80_877_103, 80_877_104)  # asked for before the start-up packet: TLS, GSSAPI
STARTUP_PARAMETERS = {"user", "database", "application_name"}

Message = tuple[bytes, bytes]


class Gone(Exception):
    """The other end has closed the connection."""


class Wire:
    """A socket that speaks in messages of the protocol, version 3: a letter, a length, a body."""

    def __init__(self, end: socket.socket) -> None:
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = end
        self._buffer = bytearray()

    def fileno(self) -> int:
        return self.socket.fileno()

    def send(self, *messages: Message) -> None:
        try:
            self.socket.sendall(b"".join(kind + struct.pack("!i", len(body) + 4) + body for kind, body in messages))
        except OSError as error:
            raise Gone from error

    def receive(self) -> list[Message]:
        """Wait for bytes, and return the messages that are complete now."""
        self._read_more()
        return list(self._complete())

    def receive_until_ready(self) -> list[Message]:
        """Return all messages up to the next ReadyForQuery."""
        messages = self.receive()
        while not any(kind == b"Z" for kind, _ in messages):
            messages += self.receive()
        return messages

    def receive_packet(self) -> bytes:
        """Return the next message of a client that has not started yet: those have no letter."""
        while len(self._buffer) < 4 or len(self._buffer) < struct.unpack_from("!i", self._buffer)[0]:
            self._read_more()
        return self._take(struct.unpack_from("!i", self._buffer)[0])[4:]

    def hang_up(self) -> None:
        """End the connection for the thread that is reading from it, and that will close it."""
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)

    def _complete(self) -> Iterator[Message]:
        while len(self._buffer) >= 5 and len(self._buffer) > (length := struct.unpack_from("!i", self._buffer, 1)[0]):
            whole = self._take(length + 1)
            yield whole[:1], whole[5:]

    def _take(self, length: int) -> bytes:
        taken = bytes(self._buffer[:length])
        del self._buffer[:length]
        return taken

    def _read_more(self) -> None:
        try:
            piece = self.socket.recv(PIECE)
        except OSError as error:
            raise Gone from error
        if not piece:
            raise Gone
        self._buffer += piece


class Server:
    """A server connection of the pool, logged in by the pooler. Raises Gone when the server refuses it."""

    def __init__(self, host: str, port: int, user: str, database: str) -> None:
        try:
            self.wire = Wire(socket.create_connection((host, port)))
        except OSError as error:
            raise Gone from error
        self._name = ""
        parameters = b"".join(word.encode() + b"\0" for word in ("user", user, "database", database)) + b"\0"
        self.wire.socket.sendall(struct.pack("!ii", len(parameters) + 8, PROTOCOL_3) + parameters)
        try:
            self.greeting = [message for message in self.wire.receive_until_ready() if message[0] == b"S"]
        except Gone:
            self.wire.socket.close()
            raise

    def is_alive(self) -> bool:
        """Tell whether it can be lent out, dropping what the server has said meanwhile."""
        try:
            while select.select([self.wire], [], [], 0)[0]:
                self.wire.receive()
        except Gone:
            return False
        return True

    def bear_name(self, application_name: str) -> None:
        """Have it bear the name of the client that gets it, as PgBouncer does."""
        if application_name != self._name:
            self._name = application_name
            quoted = application_name.replace("'", "''")
            self.wire.send((b"Q", f"set application_name = '{quoted}'\0".encode()))
            self.wire.receive_until_ready()


class Transaction:
    """What is under way on a server connection that a client has: when nothing is, the connection goes back."""

    def __init__(self) -> None:
        self._open = False  # something was sent that no Sync has closed yet
        self._awaited: deque[bytes] = deque()  # what each ReadyForQuery to come will answer: Q(uery), S(ync) or F
        self._status = b"I"

    @property
    def is_over(self) -> bool:
        return not self._open and not self._awaited and self._status == b"I"

    def sent(self, kind: bytes) -> None:
        if kind in (b"Q", b"S", b"F"):
            self._awaited.append(kind)
        self._open = kind not in (b"Q", b"S", b"F", b"d", b"c", b"f")  # d, c, f: the data of a COPY

    def received(self, kind: bytes, body: bytes) -> None:
        if kind == b"Z":
            self._awaited.popleft()
            self._status = body
        if kind == b"G" and self._awaited and self._awaited[0] == b"S":
            self._awaited.popleft()  # a Sync that the start of a COPY swallows; another follows its data


class TransactionPooler(socketserver.ThreadingTCPServer):
    """`url(target)` leads through here; `size` server connections are all there is."""

    request_queue_size = 64

    def __init__(self, target: str, size: int = 3) -> None:
        super().__init__(("127.0.0.1", free_port()), socketserver.BaseRequestHandler)
        known = conninfo_to_dict(target)
        self._target = (str(known["host"]), int(str(known["port"])), str(known["user"]), str(known["dbname"]))
        self._idle: deque[Server | None] = deque([None] * size)  # None: to be opened
        self._changed = threading.Condition()
        self._clients: set[Wire] = set()
        self._closing = False
        self._porter = threading.Thread(target=self.serve_forever, args=(0.01,))

    def __enter__(self) -> Self:
        self._porter.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._porter.join()
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            for client in self._clients:
                client.hang_up()
        self.server_close()  # waits for the clients' threads
        for server in filter(None, self._idle):
            server.wire.socket.close()

    def url(self, target: str) -> str:
        """Return `target`, the database's URL, as conninfo that leads through here."""
        return make_conninfo(target, host="127.0.0.1", port=self.server_address[1])

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Serve one client, in a thread of its own."""
        client = Wire(request)
        with self._changed:
            self._clients.add(client)
        try:
            with suppress(Gone):
                self._converse(client)
        finally:
            with self._changed:
                self._clients.discard(client)

    def _converse(self, client: Wire) -> None:
        parameters = _startup(client)
        if refusal := self._refusal(parameters):
            client.send((b"E", b"SFATAL\0VFATAL\0C08P01\0M" + refusal.encode() + b"\0\0"))
            return
        server = self._borrow()
        self._give_back(server)
        client.send((b"R", struct.pack("!i", 0)), *server.greeting, (b"K", struct.pack("!ii", 1, 1)), (b"Z", b"I"))
        name = parameters.get("application_name", "")
        while True:
            messages = client.receive()
            if messages and messages[0][0] == b"X":
                return
            if messages:
                self._lend(client, messages, name)

    def _refusal(self, parameters: dict[str, str]) -> str | None:
        foreign = parameters.keys() - STARTUP_PARAMETERS
        if foreign:
            return f"unsupported startup parameter: {min(foreign)}"
        _, _, user, database = self._target
        named = parameters.get("user"), parameters.get("database")
        return None if named == (user, database) else f"no such database: {named[1]}"

    def _lend(self, client: Wire, messages: list[Message], name: str) -> None:
        """Give the client a server connection for the transaction that begins with these messages."""
        server, transaction = self._borrow(), Transaction()
        try:
            server.bear_name(name)
            _relay(client, server.wire, transaction, messages)
        finally:
            self._give_back(server, broken=not transaction.is_over)

    def _borrow(self) -> Server:
        with self._changed:
            self._changed.wait_for(lambda: self._idle or self._closing)
            if self._closing:
                raise Gone
            server = self._idle.popleft()
        if server and server.is_alive():
            return server
        if server:
            server.wire.socket.close()
        try:
            return Server(*self._target)
        except Gone:
            self._give_back(None)
            raise

    def _give_back(self, server: Server | None, *, broken: bool = False) -> None:
        if server and broken:
            server.wire.socket.close()
        with self._changed:
            self._idle.append(None if broken else server)
            self._changed.notify()


def _startup(client: Wire) -> dict[str, str]:
    """Return a client's start-up parameters. Raises Gone for another wish, such as to cancel a statement."""
    code = NO_ENCRYPTION_HERE[0]
    while code in NO_ENCRYPTION_HERE:
        packet = client.receive_packet()
        (code,) = struct.unpack_from("!i", packet)
        if code in NO_ENCRYPTION_HERE:
            client.socket.sendall(b"N")
    if code != PROTOCOL_3:
        raise Gone
    words = [word.decode() for word in packet[4:].split(b"\0")]
    return {name: value for name, value in zip(words[0::2], words[1::2], strict=False) if name}


def _relay(client: Wire, server: Wire, transaction: Transaction, messages: list[Message]) -> None:
    """Pass messages on until the transaction is over. Raises Gone when either end has left before."""
    while True:
        for kind, _ in messages:
            if kind == b"X":
                raise Gone
            transaction.sent(kind)
        server.send(*messages)
        messages = []
        while not messages:
            if transaction.is_over:
                return
            readable, _, _ = select.select([client, server], [], [])
            if server in readable:
                said = server.receive()
                for kind, body in said:
                    transaction.received(kind, body)
                client.send(*[message for message in said if message[0] != b"A"])
            if client in readable:
                messages = client.receive()
