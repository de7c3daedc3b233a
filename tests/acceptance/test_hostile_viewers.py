"""Strangers on the page's port: whatever they send, or do not read, the upload does not feel it."""

import socket
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from listener.embedded.shipstation import ShipStationSimulator
from listener.status.server import CONNECTIONS
from tests.support.process import ListenerProcess
from tests.support.shop import Connection, insert_order
from tests.support.wait import eventually

ASKED = b"GET /status.json HTTP/1.1\r\nHost: localhost\r\n"


def connected(address: tuple[str, int]) -> socket.socket:
    """Return a client's connection with little room for what it does not read."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(5)
    client.connect(address)
    return client


def half_a_request(client: socket.socket) -> None:
    client.sendall(ASKED[:-5])


def an_idle_connection(client: socket.socket) -> None:
    client.sendall(ASKED + b"\r\n")
    client.recv(65536)


def questions_whose_answers_nobody_reads(client: socket.socket) -> None:
    client.setblocking(False)
    with suppress(BlockingIOError):
        for _ in range(5):
            client.send((ASKED + b"\r\n") * 100)


def a_body_without_end(client: socket.socket) -> None:
    client.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
    client.setblocking(False)
    with suppress(BlockingIOError):
        for _ in range(20):
            client.send(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")


def headers_without_end(client: socket.socket) -> None:
    client.sendall(ASKED)
    client.setblocking(False)
    with suppress(BlockingIOError):
        for _ in range(20):
            client.send(b"X-Header: x\r\n" * 1000)


def smuggled_requests(client: socket.socket) -> None:
    client.sendall(
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"0\r\n\r\nGET /orders/1 HTTP/1.1\r\nHost: evil.example.com\r\n\r\n"
    )


def open_files(process: ListenerProcess) -> int:
    return len(list(Path(f"/proc/{process.pid}/fd").iterdir()))


def memory(process: ListenerProcess) -> int:
    return int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) // 256


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="the system does not show open files")
def test_viewers_that_hang_flood_or_do_not_read_cost_no_order_and_no_file(
    shop: Connection, account: ShipStationSimulator, asleep: ListenerProcess
) -> None:
    address = ("127.0.0.1", int(asleep.status_address.rpartition(":")[2]))
    kinds: list[Callable[[socket.socket], None]] = [
        an_idle_connection,
        smuggled_requests,
        headers_without_end,
        a_body_without_end,
        questions_whose_answers_nobody_reads,
        half_a_request,
    ]
    files, before = open_files(asleep), memory(asleep)
    with ExitStack() as clients:
        for turn in range(3 * CONNECTIONS):
            client = clients.enter_context(connected(address))
            with suppress(OSError):  # it was refused, or made room for another
                kinds[turn % len(kinds)](client)
            if turn % 20 == 0:
                insert_order(shop, f"AMID-{turn}")
        insert_order(shop, "LAST")
        assert account.wait_for_orders(11, 15)
        assert asleep.status()["role"] == "leader"
        assert open_files(asleep) - files <= CONNECTIONS + 5
        assert memory(asleep) - before < 40
    eventually(lambda: open_files(asleep), lambda now: now <= files + 2)
    assert not [line for line in asleep.lines if " ERROR " in line]
    assert asleep.stop(timeout=5) == 0
