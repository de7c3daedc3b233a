"""The status pages over real HTTP: what is served, to whom, and that nobody can hold the server up."""

import asyncio
import http.client
import json
import logging
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from listener.embedded.postgres import free_port
from listener.flags import Flags
from listener.health import unready_reasons
from listener.metrics import Metrics
from listener.status import app, server
from listener.status.archive import Archive
from listener.status.pages import Sources
from listener.status.server import CONNECTIONS, StatusServer

PATHS = [
    "/status.json",
    "/metrics",
    "/health/live",
    "/health/ready",
    "/",
    "/page/now.json",
    "/page/past.json",
    "/static/x/page.js",
    "/orders/1",
    "/no/such/page",
    "/status.json/",
]

NOBODY = f"postgresql://nobody@127.0.0.1:{free_port()}/none"


def some_sources() -> Sources:
    return Sources(Metrics("1"), lambda: True, Archive(NOBODY, "test"))


class Pages:
    """A server with what it reports on, and a client that speaks to it."""

    def __init__(self) -> None:
        self.metrics = Metrics("1.2.3")
        self.alive = True
        self.server = StatusServer(Sources(self.metrics, lambda: self.alive, Archive(NOBODY, "test")))

    @property
    def address(self) -> tuple[str, int]:
        assert self.server.port is not None
        return "127.0.0.1", self.server.port

    def ask(
        self, path: str, *, method: str = "GET", host: str | None = None, body: bytes | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        with closing(http.client.HTTPConnection(*self.address, timeout=5)) as client:
            client.request(method, path, body, {"Host": host} if host is not None else {})
            answer = client.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()

    def json(self, path: str) -> tuple[int, Any]:
        status, headers, body = self.ask(path)
        assert headers["content-type"] == "application/json"
        return status, json.loads(body)

    def raw(self, request: bytes) -> bytes:
        with socket.create_connection(self.address, timeout=5) as client:
            client.sendall(request)
            client.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: client.recv(65536), b""))


@contextmanager
def serving(host: str = "127.0.0.1") -> Iterator[Pages]:
    pages = Pages()
    assert pages.server.start((host, 0))
    yield pages
    pages.server.stop()


@pytest.fixture
def pages() -> Iterator[Pages]:
    with serving() as pages:
        yield pages


@pytest.fixture(scope="module")
def untouched_pages() -> Iterator[Pages]:
    """One server for all tests that only look."""
    with serving() as pages:
        yield pages


def test_the_snapshot_is_served_as_soon_as_the_server_runs(pages: Pages) -> None:
    assert pages.json("/status.json") == (200, pages.metrics.snapshot())


def test_a_server_that_nobody_asks_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    naps: list[float] = []

    async def nap(seconds: float) -> None:
        naps.append(seconds)
        await asyncio.Event().wait()

    pages = Pages()
    with monkeypatch.context() as asleep:
        asleep.setattr(asyncio, "sleep", nap)
        assert pages.server.start(("127.0.0.1", 0))
        assert pages.json("/health/live")[0] == 200
        assert naps == []
    pages.server.stop()
    assert pages.server._thread is not None
    assert not pages.server._thread.is_alive()


def test_an_answer_says_when_it_was_given(pages: Pages) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    given_at = parsedate_to_datetime(pages.ask("/status.json")[1]["date"])
    assert before <= given_at <= datetime.now(UTC)


def test_the_snapshot_is_of_the_moment_of_the_question(pages: Pages) -> None:
    pages.metrics.set(role="leader", flags=Flags(sync_interval=180))
    pages.metrics.wake("notify")
    body = pages.json("/status.json")[1]
    assert (body["role"], body["flags"]["sync_interval"], body["wakes"]["notify"]) == ("leader", 180, 1)


def test_a_scrape_gets_the_counters_in_the_format_that_every_prometheus_knows(pages: Pages) -> None:
    pages.metrics.wake("notify")
    status, headers, body = pages.ask("/metrics")
    assert (status, headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert 'listener_wakes_total{source="notify"} 1.0' in body.decode().splitlines()
    assert pages.ask("/metrics", method="POST")[0] == 405


def test_live_follows_the_loop(pages: Pages) -> None:
    assert pages.json("/health/live") == (200, {"live": True})
    pages.alive = False
    assert pages.json("/health/live") == (503, {"live": False})


def test_ready_is_503_with_the_reasons_or_200(pages: Pages) -> None:
    status, body = pages.json("/health/ready")
    assert (status, body["ready"]) == (503, False)
    assert body["reasons"] == ["standby: another listener leads, or none could yet"]
    pages.metrics.set(role="leader")
    assert pages.json("/health/ready") == (200, {"ready": True})


def test_unready_is_a_standby_or_a_deaf_one_that_does_not_poll_or_one_whose_orders_wait() -> None:
    metrics, polling = Metrics("1"), Flags(fast_polling_interval=30)
    metrics.set(role="leader", flags=polling, deaf=True, oldest_pending_seconds=60)
    assert list(unready_reasons(metrics.snapshot())) == []
    metrics.set(oldest_pending_seconds=60.5)
    assert [reason[:21] for reason in unready_reasons(metrics.snapshot())] == ["the oldest due order "]
    metrics.set(flags=replace(polling, fast_polling_enabled=False))  # rounds of 300 s: 60 s are not long
    assert [reason[:5] for reason in unready_reasons(metrics.snapshot())] == ["deaf,"]
    metrics.set(deaf=False, oldest_pending_seconds=601)
    assert [reason[:21] for reason in unready_reasons(metrics.snapshot())] == ["the oldest due order "]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST:1", "[::1]", "[::1]:8750", "127.0.0.1:"])
def test_a_loopback_host_is_served_with_any_port(untouched_pages: Pages, path: str, host: str) -> None:
    assert untouched_pages.ask(path, host=host)[0] in (200, 404, 503)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "host",
    [
        "shop.example.com",
        "localhost.example.com",
        "127.0.0.1.example.com",
        "example.com:127.0.0.1",
        "127.0.0.1@example.com",
        "10.0.0.1",
        "[::2]",
        "[localhost]",
        "::1",
        "",
        "localhost, example.com",
        "127.0.0.1:80:80",
    ],
)
def test_any_other_host_is_refused_on_every_path(untouched_pages: Pages, path: str, host: str) -> None:
    status, headers, body = untouched_pages.ask(path, host=host)
    assert status == 421
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert b"started_at" not in body


def test_a_request_without_a_host_is_refused(untouched_pages: Pages) -> None:
    assert untouched_pages.raw(b"GET /status.json HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 421 ")
    assert untouched_pages.raw(b"GET /status.json HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "get"])
def test_other_methods_than_get_and_head_are_refused_on_every_path(
    untouched_pages: Pages, path: str, method: str
) -> None:
    status, headers, _ = untouched_pages.ask(path, method=method, body=b"x" * 200_000 if method == "POST" else None)
    assert (status, headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("path", PATHS)
def test_head_is_get_without_a_body(untouched_pages: Pages, path: str) -> None:
    status, headers, body = untouched_pages.ask(path, method="HEAD")
    assert (status, body) == (untouched_pages.ask(path)[0], b"")
    assert int(headers["content-length"]) > 0


@pytest.mark.parametrize(
    "path", ["/no/such/page", "/orders", "/static/", "/page/", "/status.json/", "//example.com/", "/%00%0a"]
)
def test_an_unknown_page_is_404_and_never_a_redirect(untouched_pages: Pages, path: str) -> None:
    assert untouched_pages.json(path) == (404, {"error": "there is no such page"})


@pytest.mark.parametrize(
    ("path", "method", "host"),
    [
        ("/status.json", "GET", "localhost"),
        ("/health/ready", "HEAD", "localhost"),
        ("/no/such/page", "GET", "localhost"),
        ("/status.json", "POST", "localhost"),
        ("/status.json", "GET", "example.com"),
    ],
)
def test_every_answer_carries_the_headers(untouched_pages: Pages, path: str, method: str, host: str) -> None:
    headers = untouched_pages.ask(path, method=method, host=host)[1]
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"
    assert "server" not in headers


def test_a_fault_of_ours_is_500_with_the_headers_and_its_traceback_in_the_log(
    pages: Pages, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> dict[str, Any]:
        raise ZeroDivisionError("of ours")

    monkeypatch.setattr(pages.metrics, "snapshot", broken)
    status, headers, body = pages.ask("/status.json")
    pages.server.stop()  # the answer goes out before the line is logged
    assert (status, headers["x-content-type-options"]) == (500, "nosniff")
    assert b"ZeroDivisionError" not in body
    assert "ZeroDivisionError: of ours" in caplog.text


def test_rubbish_is_answered_with_400_and_no_line_in_the_log(pages: Pages, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    assert pages.raw(b"\x16\x03\x01\x02\x00\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    upgrade = b"GET /no HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
    assert pages.raw(upgrade).startswith(b"HTTP/1.1 404 ")
    assert pages.raw(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 70_000).startswith(b"HTTP/1.1 400 ")
    assert [record for record in caplog.records if record.name.startswith("uvicorn")] == []


def test_an_address_that_is_taken_costs_the_page_and_not_the_listener(
    pages: Pages, caplog: pytest.LogCaptureFixture
) -> None:
    second = StatusServer(some_sources())
    assert second.start(pages.address) is False
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage() == (
        f"no status page: cannot listen on 127.0.0.1:{pages.server.port} (Address already in use);"
        " set STATUS_ADDRESS to a free address, or to off"
    )
    second.stop()
    assert pages.json("/health/live")[0] == 200


@pytest.mark.parametrize("host", ["203.0.113.1", "2001:db8::1", "not..a.name"])
def test_an_address_of_another_machine_is_a_warning_too(host: str, caplog: pytest.LogCaptureFixture) -> None:
    assert StatusServer(some_sources()).start((host, 0)) is False
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_a_loopback_address_is_no_warning(pages: Pages, caplog: pytest.LogCaptureFixture) -> None:
    assert pages.json("/status.json")[0] == 200
    assert caplog.records == []


def test_an_address_that_others_can_reach_is_a_warning_and_answers_to_its_own_address_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with serving("0.0.0.0") as pages:  # noqa: S104 - that is the case
        (record,) = caplog.records
        assert (record.levelname, "open to other machines" in record.getMessage()) == ("WARNING", True)
        assert pages.ask("/status.json", host="0.0.0.0:1")[0] == 200
        assert pages.ask("/status.json", host="shop.example.com")[0] == 421
        assert pages.ask("/status.json", host="10.1.2.3")[0] == 421


def test_a_request_may_name_the_address_that_it_came_in_on() -> None:
    gate = app.Gate(app=pytest.fail, hosts={"localhost"})  # type: ignore[arg-type]
    scope = {"type": "http", "method": "GET", "headers": [(b"host", b"10.1.2.3:8750")], "server": ("10.1.2.3", 8750)}
    assert gate._refusal(scope) is None
    assert gate._refusal(scope | {"server": ("10.1.2.4", 8750)}) is not None
    named = [(b"host", b"box.example.com")]
    assert gate._refusal(scope | {"headers": named, "server": ("box.example.com", 8750)}) is not None


def test_a_configured_name_is_served_besides_the_loopback_ones() -> None:
    assert app.build_app(some_sources(), ["Box.Example.com"]).user_middleware[0].kwargs["hosts"] == {
        *("127.0.0.1", "localhost", "::1", "box.example.com")
    }


def test_an_ipv6_address_is_served_on_its_own() -> None:
    pages = Pages()
    if not pages.server.start(("::1", 0)):
        pytest.skip("no IPv6 here")
    with closing(http.client.HTTPConnection("::1", pages.server.port, timeout=5)) as client:
        client.request("GET", "/health/live")
        answer = client.getresponse()
        assert (answer.status, answer.read()) == (200, b'{"live":true}')
    pages.server.stop()


def test_a_connection_answers_one_question_after_another(untouched_pages: Pages) -> None:
    with closing(http.client.HTTPConnection(*untouched_pages.address, timeout=5)) as client:
        for _ in range(3):
            client.request("GET", "/health/live")
            assert client.getresponse().read() == b'{"live":true}'


def hanging(pages: Pages, count: int) -> ExitStack:
    clients = ExitStack()
    for _ in range(count):
        client = clients.enter_context(socket.create_connection(pages.address, timeout=5))
        client.sendall(b"GET /status.json HTTP/1.1\r\nHost: lo")
    return clients


def test_however_many_connections_hang_a_new_one_is_answered(pages: Pages) -> None:
    with socket.create_connection(pages.address, timeout=5) as first, hanging(pages, 3 * CONNECTIONS):
        assert pages.json("/health/live") == (200, {"live": True})
        assert dropped(first.recv)


def test_a_request_that_does_not_get_on_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "REQUEST_SECONDS", 0.05)
    with serving() as pages, socket.create_connection(pages.address, timeout=5) as client:
        client.sendall(b"GET /status.json HTTP/1.1\r\nHost: lo")
        assert dropped(client.recv)


def test_a_client_that_asks_again_and_again_is_not_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "REQUEST_SECONDS", 0.5)
    with serving() as pages, closing(http.client.HTTPConnection(*pages.address, timeout=5)) as client:
        client.connect()
        client.auto_open = 0  # a connection that was dropped is a failure, not a reason to open another
        until = time.monotonic() + 1
        while time.monotonic() < until:
            client.request("GET", "/health/live")
            assert client.getresponse().read() == b'{"live":true}'


def dropped(receive: Callable[[int], bytes]) -> bool:
    try:
        return receive(1) == b""
    except ConnectionResetError:
        return True


def test_it_stops_within_a_second_though_connections_hang_and_frees_the_address(pages: Pages) -> None:
    with hanging(pages, 3), closing(http.client.HTTPConnection(*pages.address, timeout=5)) as idle:
        idle.request("GET", "/health/live")
        idle.getresponse().read()
        started = time.monotonic()
        pages.server.stop()
        assert time.monotonic() - started < 1
    again = StatusServer(some_sources())
    assert again.start(pages.address)
    again.stop()


def test_a_server_that_was_never_started_can_be_stopped() -> None:
    never = StatusServer(some_sources())
    never.stop()
    assert never.port is None


def test_the_process_keeps_its_signal_handlers_and_its_logging() -> None:
    root = logging.getLogger()
    watched = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in watched], root.handlers.copy(), root.level
    pages = Pages()
    assert pages.server.start(("127.0.0.1", 0))
    assert pages.json("/health/live")[0] == 200
    assert [logging.getLogger(name).handlers for name in ("uvicorn", "uvicorn.error", "uvicorn.access")] == [[], [], []]
    assert ([signal.getsignal(number) for number in watched], root.handlers, root.level) == before
    pages.server.stop()
    assert ([signal.getsignal(number) for number in watched], root.handlers, root.level) == before
