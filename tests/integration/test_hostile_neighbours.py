"""A ShipStation, or a Drive, in other hands: no answer costs more than a bounded time and memory, and none is believed
that cannot be read. What is tested here besides `test_client` and `test_drive_web` is what is made on purpose.
"""

import gzip
import json
import socket
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from listener.embedded.shipstation import ShipStationSimulator
from listener.errors import Transient
from listener.orders import shipstation_key
from listener.shipstation import client
from listener.shipstation.client import Answer, NoAnswer, NotSent, ShipStation, SpoiledPage
from listener.sources.drive.answers import Outage, decode_page
from listener.sources.drive.web import Web
from listener.store.ledger import Candidate
from listener.workflows.outcomes import Reading, all_unknown, read_answer
from tests.support.raw_server import Speak, answer, raw_server, says, trickle
from tests.support.tls import Authority, tls_front

MB = 1024 * 1024
BATCH = [Candidate(number, row_id, number, shipstation_key(number)) for row_id, number in enumerate(("A-1", "A-2"), 1)]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def connect(stack: ExitStack) -> Callable[[str], ShipStation]:
    def connect(url: str) -> ShipStation:
        made = ShipStation(url, "key", "a-secret-of-the-test")
        stack.callback(made.close)
        return made

    return connect


@pytest.fixture
def speaks(stack: ExitStack, connect: Callable[[str], ShipStation]) -> Callable[[Speak], ShipStation]:
    return lambda speak: connect(stack.enter_context(raw_server(speak)))


@pytest.fixture
def measured() -> Iterator[None]:
    """Whatever is read in this test takes no more memory than the longest answer, a few times over."""
    tracemalloc.start()
    yield
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * client.LARGEST_ANSWER


def packed(layers: int) -> bytes:
    packer = zlib.compressobj(wbits=31)
    content = b"".join(packer.compress(b" " * MB) for _ in range(100)) + packer.flush()
    for _ in range(layers - 1):
        content = gzip.compress(content)
    return content


@pytest.mark.parametrize("layers", [1, 2])
def test_a_small_answer_that_unpacks_to_100_mb_is_no_answer(
    speaks: Callable[[Speak], ShipStation], layers: int, measured: None
) -> None:
    speak = says(packed(layers), "200 OK", "Content-Encoding: " + ", ".join(["gzip"] * layers))
    with pytest.raises(NoAnswer, match="too long"):
        speaks(speak).create_orders(b"[]")


def test_a_chain_of_packings_without_end_is_no_answer(speaks: Callable[[Speak], ShipStation]) -> None:
    with pytest.raises(NoAnswer):
        speaks(says(packed(1), "200 OK", "Content-Encoding: " + ", ".join(["gzip"] * 50))).create_orders(b"[]")


@pytest.mark.parametrize(
    "content", [b"[" + b"[]," * 5_000_000 + b"[]]", b"[" + b"0," * 8_000_000 + b"0]", b"[" + b"{}," * 5_000_000 + b"0]"]
)
def test_an_answer_whose_reading_would_take_seconds_is_not_read(
    speaks: Callable[[Speak], ShipStation], content: bytes, measured: None
) -> None:
    with pytest.raises(SpoiledPage, match="too long"):
        speaks(says(content)).list_orders({})


RUBBISH = {
    "deep lists": b"[" * 100_000 + b"]" * 100_000,
    "deep objects": b'{"results":' * 100_000 + b"1" + b"}" * 100_000,
    "a number of a million digits": b'{"results": [{"orderId": ' + b"9" * 1_000_000 + b"}]}",
    "no number": b'{"results": NaN}',
    "results of another kind": b'{"results": {"0": {}}}',
    "two lists of results": b'{"results": [{"orderKey": "listener-A-1", "success": true, "orderId": 1}], "results": 7}',
    "half a letter": b'{"results": ["\\ud800',
    "UTF-16": '{"results": []}'.encode("utf-16"),
    "NUL": b"\0" * 1000,
    "markup": b"<html>",
}


@pytest.mark.parametrize("body", RUBBISH.values(), ids=RUBBISH)
def test_an_answer_that_says_nothing_of_the_orders_leaves_them_to_be_looked_up(
    speaks: Callable[[Speak], ShipStation], body: bytes
) -> None:
    answer = speaks(says(body, "200 OK", "Content-Type: image/png")).create_orders(b"[]")
    assert states(read_answer(answer, BATCH)) == ["unknown", "unknown"]


@pytest.mark.parametrize("body", RUBBISH.values(), ids=RUBBISH)
def test_a_list_of_drive_that_cannot_be_read_is_an_outage(body: bytes) -> None:
    with pytest.raises(Outage):
        decode_page(body)


def test_an_order_that_an_answer_names_twice_in_two_ways_is_looked_up() -> None:
    taken = {"orderKey": "listener-A-1", "success": True, "orderId": 7}
    body = json.dumps({"results": [taken, taken | {"orderId": 8}, {"orderKey": "listener-A-2", "success": "true"}]})
    reading = read_answer(Answer(200, {}, body.encode(), 1.0), BATCH)
    assert [settled.state for settled in reading.settled] == ["unknown", "unknown"]


OK = b"HTTP/1.1 200 OK\r\n"
GARBAGE = {
    "a thousand headers": OK + b"".join(b"X-%d: 1\r\n" % n for n in range(1000)) + b"\r\n",
    "a header of a megabyte": OK + b"X: " + b"1" * MB + b"\r\n\r\n",
    "a header that is folded": OK + b"Content-Length: 2\r\n 5\r\n\r\n[]",
    "two lengths": OK + b"Content-Length: 2\r\nContent-Length: 9\r\n\r\n[]",
    "length and chunks": OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
    "a chunk of endless size": OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 70_000 + b"\r\n",
    "a chunk of negative size": OK + b"Transfer-Encoding: chunked\r\n\r\n-1\r\nab\r\n",
    "a length that is negative": OK + b"Content-Length: -5\r\n\r\n[]",
    "a length that is no number": OK + b"Content-Length: 0x10\r\n\r\n[]",
    "a length of a thousand digits": OK + b"Content-Length: " + b"9" * 1000 + b"\r\n\r\n[]",
    "a status that is none": b"HTTP/1.1 2OO OK\r\n\r\n",
    "a status of a thousand digits": b"HTTP/1.1 " + b"2" * 1000 + b" OK\r\n\r\n",
    "another version": b"HTTP/9.9 200 OK\r\n\r\n[]",
    "bytes": bytes(range(256)) * 300,
}


@pytest.mark.parametrize("said", GARBAGE.values(), ids=GARBAGE)
def test_garbage_is_no_answer_or_one_that_says_nothing(speaks: Callable[[Speak], ShipStation], said: bytes) -> None:
    try:
        answer = speaks(lambda peer: peer.sendall(said)).create_orders(b"[]")
    except NoAnswer:
        return
    assert states(read_answer(answer, BATCH)) == ["unknown", "unknown"]


def test_to_be_put_off_without_end_ends_with_the_deadline(
    speaks: Callable[[Speak], ShipStation], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "CONNECT_SECONDS", 0.1)
    monkeypatch.setattr(client, "DEADLINE_SECONDS", 0.4)
    ended = threading.Event()
    patient = speaks(trickle(b"", [b"HTTP/1.1 100 Continue\r\n\r\n"] * 50, ended))
    began = time.monotonic()
    with pytest.raises(NoAnswer):
        patient.create_orders(b"[]")
    ended.set()
    assert time.monotonic() - began < 2


def test_an_answer_that_was_put_behind_another_is_not_taken_for_the_next(
    stack: ExitStack, connect: Callable[[str], ShipStation]
) -> None:
    forged = json.dumps({"results": [{"orderKey": "listener-A-1", "success": True, "orderId": 666}]}).encode()
    heard: list[bytes] = []

    def speak(peer: socket.socket) -> None:
        peer.sendall(answer(b"[]") + answer(forged))

    there = connect(stack.enter_context(raw_server(speak, heard.append)))
    for _ in range(10):
        with suppress(NoAnswer):  # it went to a connection that was about to be closed
            assert there.create_orders(b"[]").body == b"[]"
    assert len(heard) >= 5


# TLS.


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    return authority


WRONG = {
    "expired": "certificate has expired",
    "not yet valid": "certificate is not yet valid",
    "of another host": "certificate is not valid for '127.0.0.1'",
    "self-signed": "self[- ]signed certificate",
}


@pytest.mark.parametrize("kind", WRONG)
def test_who_shows_a_wrong_certificate_is_sent_nothing_and_the_reason_is_named(
    authority: Authority, shipstation: ShipStationSimulator, connect: Callable[[str], ShipStation], kind: str
) -> None:
    with tls_front(authority.context(kind), shipstation.port) as front:
        with pytest.raises(NotSent, match=f"its certificate is refused: .*{WRONG[kind]}"):
            connect(f"https://127.0.0.1:{front.port}").create_orders(b"[]")
        with pytest.raises(Transient, match=WRONG[kind]):
            Web().ask("GET", f"https://127.0.0.1:{front.port}/token", {"authorization": "Bearer secret"})
        assert front.heard == 0
    assert shipstation.requests == []


def test_who_shows_a_right_one_is_asked(
    authority: Authority, shipstation: ShipStationSimulator, connect: Callable[[str], ShipStation]
) -> None:
    with tls_front(authority.context("good"), shipstation.port) as front:
        assert connect(f"https://127.0.0.1:{front.port}").create_orders(b"[]").status == 401
        assert Web().ask("GET", f"https://127.0.0.1:{front.port}/", {}).status == 401


def test_who_speaks_no_tls_is_sent_nothing_that_can_be_read(
    stack: ExitStack, connect: Callable[[str], ShipStation], shipstation: ShipStationSimulator
) -> None:
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as door:

        def answer() -> None:
            peer, _ = door.accept()
            with peer:
                heard.append(peer.recv(65536))
                peer.sendall(b"HTTP/1.1 200 OK\r\n\r\n[]")

        server = threading.Thread(target=answer)
        server.start()
        with pytest.raises(NoAnswer):
            connect(f"https://127.0.0.1:{door.getsockname()[1]}").create_orders(b"[]")
        server.join(10)
    assert b"HTTP" not in heard[0]
    assert b"uthorization" not in heard[0]


def states(reading: Reading) -> list[str]:
    assert reading.settled == all_unknown(BATCH, str(reading.settled[0].error))
    return [settled.state for settled in reading.settled]
