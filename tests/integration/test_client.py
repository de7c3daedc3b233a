"""ShipStation's client over real HTTP: every way of having no answer is told from having one, and from not asking."""

import json
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from datetime import UTC, datetime
from typing import Any

import pytest

from listener.embedded.postgres import free_port
from listener.embedded.shipstation import ShipStationSimulator
from listener.errors import Transient
from listener.http_limits import deadline
from listener.shipstation import client
from listener.shipstation.client import Answer, Held, NoAnswer, NotSent, ShipStation
from listener.shipstation.listing import decode_page
from tests.support.proxy import TcpProxy
from tests.support.raw_server import Speak, raw_server, says, trickle

CREATE = "/orders/createorders"
SECRET = "not-to-be-read"  # noqa: S105  an invented one


def payload(*numbers: str) -> bytes:
    address = {"name": "Ada Example", "street1": "1 Way", "city": "Town", "country": "CA"}
    order = {"orderDate": "2025-01-02T00:00:00", "orderStatus": "awaiting_shipment", "billTo": address}
    return json.dumps(
        [{**order, "orderNumber": n, "orderKey": f"listener-{n}", "shipTo": address} for n in numbers]
    ).encode()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def connect(stack: ExitStack) -> Callable[..., ShipStation]:
    def connect(url: str, key: str = "key", secret: str = SECRET) -> ShipStation:
        made = ShipStation(url, key, secret)
        stack.callback(made.close)
        return made

    return connect


@pytest.fixture
def account(shipstation: ShipStationSimulator) -> ShipStationSimulator:
    shipstation.limit_per_minute = None
    return shipstation


@pytest.fixture
def ours(account: ShipStationSimulator, connect: Callable[..., ShipStation]) -> ShipStation:
    return connect(account.url, account.api_key, account.api_secret)


@pytest.fixture
def speaks(stack: ExitStack, connect: Callable[..., ShipStation]) -> Callable[[Speak], ShipStation]:
    """A client of a server that reads one request and then does as it is told: `speaks(lambda peer: …)`."""

    return lambda speak: connect(stack.enter_context(raw_server(speak)))


def test_an_answer_has_status_body_headers_in_one_spelling_and_how_long_it_took(
    account: ShipStationSimulator, ours: ShipStation
) -> None:
    account.limit_per_minute = 40
    answer = ours.create_orders(payload("A-1", "A-2"))
    assert answer.status == 200
    assert [result["success"] for result in answer.json()["results"]] == [True, True]
    assert answer.headers["X-Rate-Limit-Remaining"] == "39"
    assert 0 < answer.duration_ms < 10_000
    assert account.order_count == 2


@pytest.mark.parametrize("spelling", ["x-rate-limit-remaining", "X-RATE-LIMIT-REMAINING", "X-Rate-Limit-Remaining"])
def test_the_spelling_of_header_names_is_ours(speaks: Callable[[Speak], ShipStation], spelling: str) -> None:
    answer = speaks(says(b"{}", "200 OK", f"{spelling}: 7")).create_orders(b"[]")
    assert answer.headers["X-Rate-Limit-Remaining"] == "7"


def test_one_connection_serves_many_requests(
    account: ShipStationSimulator, connect: Callable[..., ShipStation], tcp_proxy: Callable[[int], TcpProxy]
) -> None:
    proxy = tcp_proxy(account.port)
    through = connect(f"http://127.0.0.1:{proxy.port}", account.api_key, account.api_secret)
    through.create_orders(payload("A-1"))
    proxy.refuse()
    assert through.create_orders(payload("A-2")).status == 200


# No answer, and not sent.


def test_a_refused_connection_is_not_sent(connect: Callable[..., ShipStation]) -> None:
    nobody = connect(f"http://127.0.0.1:{free_port()}")
    for ask in (lambda: nobody.create_orders(b"[]"), lambda: nobody.list_orders(look_up("A-1"))):
        with pytest.raises(NotSent, match="cannot be reached"):
            ask()


def test_a_host_that_does_not_exist_is_not_sent(connect: Callable[..., ShipStation]) -> None:
    with pytest.raises(NotSent, match="cannot be reached"):
        connect("http://nobody.invalid").create_orders(b"[]")


@pytest.mark.parametrize("kind", ["drop-before-commit", "drop-after-commit", "cut"])
def test_a_connection_that_ends_after_the_request_was_sent_is_no_answer(
    account: ShipStationSimulator, ours: ShipStation, kind: str
) -> None:
    account.inject(kind, path=CREATE)
    with pytest.raises(NoAnswer, match="did not answer"):
        ours.create_orders(payload("A-1"))
    assert account.order_count == (0 if kind == "drop-before-commit" else 1)


def test_a_request_that_may_not_leave_any_more_is_not_sent(account: ShipStationSimulator, ours: ShipStation) -> None:
    with pytest.raises(Held, match="stood still"):
        ours.create_orders(payload("A-1"), lambda: False)
    assert account.requests == []
    assert ours.create_orders(payload("A-1"), lambda: True).status == 200


def test_a_request_of_which_a_part_has_left_is_broken_off_and_in_doubt(
    account: ShipStationSimulator, ours: ShipStation
) -> None:
    asked = iter([True, True])  # the head, and the first piece of the body
    with pytest.raises(NoAnswer, match="stood still"):
        ours.create_orders(payload(*(f"A-{n}" for n in range(100))), lambda: next(asked, False))
    assert account.order_count == 0


def test_what_has_not_left_this_machine_by_the_deadline_never_does(
    connect: Callable[..., ShipStation], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "DEADLINE_SECONDS", 0.3)
    monkeypatch.setattr(client, "CONNECT_SECONDS", 0.1)
    body = payload(*(f"A-{n}" for n in range(200)))
    with socket.socket() as door:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # so that most of it waits on this side
        door.bind(("127.0.0.1", 0))
        door.listen()
        with pytest.raises(NoAnswer):
            connect(f"http://127.0.0.1:{door.getsockname()[1]}").create_orders(body, lambda: True)
        peer, _ = door.accept()
        with peer:
            assert received(peer) < len(body)


def received(peer: socket.socket) -> int:
    """Read to the end; return how much came."""
    count = 0
    with suppress(ConnectionResetError):
        while part := peer.recv(65536):
            count += len(part)
    return count


def test_a_request_that_got_no_answer_is_not_sent_again_by_itself(
    account: ShipStationSimulator, ours: ShipStation
) -> None:
    account.inject("drop-after-commit", path=CREATE)
    with pytest.raises(NoAnswer):
        ours.create_orders(payload("A-1"))
    assert len(account.requests) == 1


def test_a_reset_while_the_answer_is_awaited_is_no_answer(
    account: ShipStationSimulator, connect: Callable[..., ShipStation], tcp_proxy: Callable[[int], TcpProxy]
) -> None:
    proxy = tcp_proxy(account.port)
    through = connect(f"http://127.0.0.1:{proxy.port}", account.api_key, account.api_secret)
    hold = account.hold(path=CREATE)
    cutter = threading.Thread(target=lambda: hold.arrived.wait(5) and proxy.cut())
    cutter.start()
    with pytest.raises(NoAnswer):
        through.create_orders(payload("A-1"))
    cutter.join(10)


def test_a_kept_connection_that_was_closed_meanwhile_is_not_used(
    account: ShipStationSimulator, connect: Callable[..., ShipStation], tcp_proxy: Callable[[int], TcpProxy]
) -> None:
    proxy = tcp_proxy(account.port)
    through = connect(f"http://127.0.0.1:{proxy.port}", account.api_key, account.api_secret)
    through.create_orders(payload("A-1"))
    proxy.cut()
    assert through.create_orders(payload("A-2")).status == 200


def test_silence_is_no_answer_when_the_deadline_has_passed(
    account: ShipStationSimulator, ours: ShipStation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "CONNECT_SECONDS", 0.1)
    monkeypatch.setattr(client, "DEADLINE_SECONDS", 0.3)
    hold = account.hold(path=CREATE)
    with pytest.raises(NoAnswer):
        ours.create_orders(payload("A-1"))
    hold.release()


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
MEASURED = b"HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n"


@pytest.mark.parametrize(
    ("head", "pieces"),
    [
        pytest.param(CHUNKED, [b"1\r\nx\r\n"] * 15, id="chunks"),
        pytest.param(MEASURED, [b"x"] * 15, id="body"),
        pytest.param(b"HTTP/1.1 200 OK\r\n", [b"X-A: 1\r\n"] * 15, id="head"),
    ],
)
def test_an_answer_that_trickles_in_ends_with_the_deadline(
    speaks: Callable[[Speak], ShipStation], monkeypatch: pytest.MonkeyPatch, head: bytes, pieces: list[bytes]
) -> None:
    monkeypatch.setattr(client, "CONNECT_SECONDS", 0.1)
    monkeypatch.setattr(client, "DEADLINE_SECONDS", 0.4)
    ended = threading.Event()
    slow = speaks(trickle(head, pieces, ended))
    began = time.monotonic()
    with pytest.raises(NoAnswer):
        slow.create_orders(b"[]")
    ended.set()
    assert time.monotonic() - began < 1


def test_a_deadline_is_kept_while_a_longer_one_runs(
    speaks: Callable[[Speak], ShipStation], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "CONNECT_SECONDS", 0.1)
    monkeypatch.setattr(client, "DEADLINE_SECONDS", 0.4)
    ended = threading.Event()
    slow = speaks(trickle(MEASURED, [b"x"] * 15, ended))
    with deadline(30), pytest.raises(NoAnswer):
        slow.create_orders(b"[]")
    ended.set()


@pytest.mark.parametrize("length", [True, False], ids=["announced", "until the end of the connection"])
def test_an_answer_longer_than_16_mb_is_no_answer(speaks: Callable[[Speak], ShipStation], length: bool) -> None:
    announced = b"Content-Length: 18874368\r\n" if length else b"Connection: close\r\n"

    def speak(peer: socket.socket) -> None:
        peer.sendall(b"HTTP/1.1 200 OK\r\n" + announced + b"\r\n")
        for _ in range(18):
            peer.sendall(b" " * 1024 * 1024)

    with pytest.raises(NoAnswer, match="too long"):
        speaks(speak).create_orders(b"[]")


def test_an_answer_of_16_mb_is_read(speaks: Callable[[Speak], ShipStation]) -> None:
    answer = speaks(says(b" " * client.LARGEST_ANSWER)).create_orders(b"[]")
    assert len(answer.body) == client.LARGEST_ANSWER


def test_what_is_no_http_is_no_answer(speaks: Callable[[Speak], ShipStation]) -> None:
    with pytest.raises(NoAnswer):
        speaks(lambda peer: peer.sendall(b"220 mail.example.com ESMTP\r\n")).create_orders(b"[]")


def test_bytes_that_do_not_unpack_are_no_answer(speaks: Callable[[Speak], ShipStation]) -> None:
    with pytest.raises(NoAnswer):
        speaks(says(b"no gzip at all", "200 OK", "Content-Encoding: gzip")).create_orders(b"[]")


# Answers that are no results.


def test_a_maintenance_page_is_an_answer_with_its_status(account: ShipStationSimulator, ours: ShipStation) -> None:
    account.inject("503", path=CREATE)
    answer = ours.create_orders(payload("A-1"))
    assert answer.status == 503
    assert b"<html>" in answer.body
    with pytest.raises(NoAnswer, match="503"):
        answer.json()


@pytest.mark.parametrize("status", ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent"])
def test_a_redirect_is_not_followed_and_the_credentials_stay(
    account: ShipStationSimulator, speaks: Callable[[Speak], ShipStation], status: str
) -> None:
    answer = speaks(says(b"", status, f"Location: {account.url}{CREATE}")).create_orders(payload("A-1"))
    assert answer.status == int(status[:3])
    assert account.requests == []


# The list. What is on a page is `shipstation.listing`'s to say; here it is told from what is no page.


def look_up(number: str) -> dict[str, str]:
    return {"orderNumber": number, "pageSize": "500"}


def numbers_on(answer: Answer) -> list[str]:
    return [order["orderNumber"] for order in answer.json()["orders"]]


def test_a_page_is_the_answer_to_the_question_that_was_asked(account: ShipStationSimulator, ours: ShipStation) -> None:
    ours.create_orders(payload("A-1", "A-10", "B-1"))
    answer = ours.list_orders(look_up("A-1"))
    assert (answer.status, numbers_on(answer)) == (200, ["A-1", "A-10"])
    assert numbers_on(ours.list_orders({"pageSize": "1", "page": "3"})) == ["B-1"]


@pytest.mark.parametrize("number", ["A&orderStatus=shipped", "A+1 #2", "A/1?x=%41", "Ä-1"])
def test_a_number_may_hold_any_character(account: ShipStationSimulator, ours: ShipStation, number: str) -> None:
    ours.create_orders(payload(number, "A"))
    assert numbers_on(ours.list_orders(look_up(number))) == [number]


def test_a_number_that_nobody_has_is_an_empty_page(account: ShipStationSimulator, ours: ShipStation) -> None:
    answer = ours.list_orders(look_up("A-1"))
    assert (answer.status, numbers_on(answer)) == (200, [])


@pytest.mark.parametrize(
    "fault", ["503", "500", "429", "throttle-in-body", "drop-before-commit", "cut", "answer:status=404,body=[]"]
)
def test_an_error_never_reads_as_nothing_there(account: ShipStationSimulator, ours: ShipStation, fault: str) -> None:
    ours.create_orders(payload("A-1"))
    account.inject(fault)
    with pytest.raises(NoAnswer):
        ours.list_orders(look_up("A-1"))


@pytest.mark.parametrize("page", ["", "<html></html>", "[" * 100_000])
def test_a_page_that_is_no_json_never_reads_as_nothing_there(speaks: Callable[[Speak], ShipStation], page: str) -> None:
    answer = speaks(says(page.encode())).list_orders(look_up("A-1"))
    with pytest.raises(NoAnswer):
        answer.json()


@pytest.mark.parametrize(
    "page",
    [
        "[]",
        "null",
        "{}",
        '{"orders": null}',
        '{"orders": {}, "pages": 1}',
        '{"orders": [], "pages": "1"}',
        '{"orders": [], "pages": 1, "total": -1}',
    ],
)
def test_what_is_no_whole_list_never_reads_as_nothing_there(speaks: Callable[[Speak], ShipStation], page: str) -> None:
    answer = speaks(says(page.encode())).list_orders(look_up("A-1"))
    with pytest.raises(Transient):
        decode_page(answer.json(), datetime.now(UTC))


# Secrets.


@pytest.mark.parametrize("number", ["A-1", "\u00e9\n"])
def test_no_failure_tells_the_secret(
    account: ShipStationSimulator, connect: Callable[..., ShipStation], number: str
) -> None:
    faults: list[BaseException] = []

    def fails(ask: Callable[[], Any]) -> None:
        with pytest.raises(Transient) as caught:
            ask()
        faults.append(caught.value)

    fails(lambda: connect(f"http://127.0.0.1:{free_port()}").create_orders(b"[]"))
    there = connect(account.url)
    fails(lambda: there.list_orders(look_up(number)))
    for kind in ("503", "cut", "drop-before-commit"):
        account.inject(kind)
        fails(lambda: there.list_orders(look_up(number)))
        account.clear_faults()
    told = "".join("".join(traceback.format_exception(fault)) for fault in faults) + repr(there)
    encoded = there._headers["authorization"].removeprefix("Basic ")
    assert SECRET not in told
    assert encoded not in told


def test_the_key_goes_to_the_service_as_basic_authorization(stack: ExitStack) -> None:
    door = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    with closing(ShipStation(f"http://127.0.0.1:{door.getsockname()[1]}/", "Aladdin", "open sesame")) as there:
        asking = threading.Thread(target=lambda: there.create_orders(b"[]"))
        asking.start()
        peer, _ = door.accept()
        with peer:
            head = peer.recv(65536)
            says(b"{}")(peer)
        asking.join(10)
    assert head.startswith(b"POST /orders/createorders HTTP/1.1\r\n")
    assert b"basic qwxhzgrpbjpvcgvuihnlc2ftzq==" in head.lower()


@pytest.mark.parametrize(
    ("status", "body"), [("429 Too Many Requests", b"{}"), ("200 OK", b'{"message": "Too Many Requests"}')]
)
def test_a_throttled_question_says_for_how_long(
    speaks: Callable[[Speak], ShipStation], status: str, body: bytes
) -> None:
    with pytest.raises(client.TooManyRequests) as caught:
        speaks(says(body, status, "x-rate-limit-reset: 17")).list_orders(look_up("A-1"))
    assert caught.value.answer.headers["X-Rate-Limit-Reset"] == "17"
