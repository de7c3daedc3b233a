"""What the status page asks of the database: the truth, in bounds, and that there is none when the database is away."""

import asyncio
import html
import http.client
import json
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlsplit

import psycopg
import pytest

from listener.database import Connection
from listener.log import redactor
from listener.metrics import Metrics
from listener.minutes import Figures
from listener.status import archive, pages
from listener.status.archive import MOST_WAITING, Archive, Unavailable
from listener.status.pages import Sources
from listener.status.server import StatusServer
from listener.store.minutes import keep_minutes
from tests.support.shop import insert_order
from tests.support.wait import eventually

SECRET = "a&b<c>-secret"  # noqa: S105 - that is the case
MARKUP = "<img src=x onerror=alert(1)>&\"'"


class Site:
    """A status server on a database, and a client of it."""

    def __init__(self, url: str) -> None:
        self.metrics = Metrics("1.2.3", "listener test")
        self.server = StatusServer(Sources(self.metrics, lambda: True, Archive(url, "page test"), redactor([SECRET])))
        assert self.server.start(("127.0.0.1", 0))
        assert self.server.port is not None
        self.port = self.server.port

    def ask(self, path: str) -> tuple[int, dict[str, str], str]:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)) as client:
            client.request("GET", path)
            answer = client.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read().decode()

    def json(self, path: str) -> Any:
        status, _, body = self.ask(path)
        assert status == 200
        return json.loads(body)


@pytest.fixture
def shop(dsn: str) -> Iterator[Connection]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture
def site(dsn: str) -> Iterator[Site]:
    site = Site(dsn)
    yield site
    site.server.stop()


@pytest.fixture
def unreachable() -> Iterator[Site]:
    """A site whose database is away."""
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    site = Site(f"postgresql://postgres@127.0.0.1:{port}/none")
    yield site
    site.server.stop()


def hold_back(shop: Connection, number: str, state: str, error: str) -> None:
    """Give an order a place in the ledger."""
    row_id = insert_order(shop, number)
    shop.execute(
        "insert into listener.ledger (order_key, order_inbox_id, order_number, state, shipstation_key, error,"
        " settled_at) values (upper(%s), %s, %s, %s, %s, %s, now())",
        [number, row_id, number, state, f"listener-{number}", error],
    )


def test_an_empty_inbox_has_no_orders_and_nothing_stuck(site: Site) -> None:
    past = site.json("/page/past.json")
    assert (past["away"], past["orders"], past["stuck"], past["refused"], past["receipts"]) == (None, [], [], [], {})
    assert set(past["history"]["orders"]) == {None}


def test_the_newest_twenty_orders_come_first_as_they_stand(site: Site, shop: Connection) -> None:
    for number in range(25):
        insert_order(shop, f"N-{number}")
    hold_back(shop, "OLD", "held_back", "held back: 60 days old")
    orders = site.json("/page/past.json")["orders"]
    assert [order["number"] for order in orders] == ["OLD", *(f"N-{number}" for number in range(24, 5, -1))]
    assert [(order["word"], order["kind"]) for order in orders[:2]] == [("held back", "stuck"), ("due", "moving")]


def test_what_gave_up_or_is_held_back_is_listed_with_what_to_do(site: Site, shop: Connection) -> None:
    hold_back(shop, "OLD", "held_back", "held back: 60 days old")
    hold_back(shop, "BAD", "rejected", "the zone is unknown")
    shop.execute(
        "update orders_inbox set status = 'failed', failure_reason = 'no such zone' where order_number = 'BAD'"
    )
    hold_back(shop, "MENDED", "rejected", "once")
    shop.execute("update orders_inbox set status = 'cancelled' where order_number = 'MENDED'")
    stuck = site.json("/page/past.json")["stuck"]
    assert [(order["number"], order["state"], order["reason"], order["todo"]) for order in stuck] == [
        ("BAD", "failed", "no such zone", "`listener requeue BAD` tries again"),
        ("OLD", "held back", "60 days old", "`listener requeue OLD` sends it"),
    ]


def test_what_a_file_held_and_was_refused_is_listed_with_its_place(site: Site, shop: Connection) -> None:
    shop.execute(
        "with f as (insert into listener.imports (source, file_id, revision, name) values ('f', '1', '1', 'a.xml')"
        " returning id) insert into listener.quarantine (import_id, line, order_number, reason)"
        " select id, 12, 'Q-1', 'it has no street' from f"
    )
    (refused,) = site.json("/page/past.json")["refused"]
    assert (refused["file"], refused["line"], refused["order_number"]) == ("a.xml", 12, "Q-1")


def test_a_flag_has_the_receipt_of_its_last_change_alone(site: Site, shop: Connection) -> None:
    for new in ("30", "45"):
        shop.execute(
            "insert into listener.config_log (parameter_name, old_value, new_value, verdict, source, seen_at)"
            " values ('sync_interval', '15', %s, 'accepted', 'notify', now())",
            [new],
        )
    assert {name: receipt["new_value"] for name, receipt in site.json("/page/past.json")["receipts"].items()} == {
        "sync_interval": "45"
    }


def test_the_history_has_what_is_written_and_what_is_not_yet(
    site: Site, shop: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "PAST_GOOD_FOR", 0.0)
    site.metrics.set(role="leader")
    site.metrics.order_latency(3.0)
    (so_far,) = site.metrics.latest_minutes()
    site.metrics.order_latency(4.0)
    assert sum(n or 0 for n in site.json("/page/past.json")["history"]["orders"]) == 2
    written = Figures(latencies={"5": 10}, latency_ms_max=4.5)
    keep_minutes(shop, [replace(so_far, process="another", figures=written)])
    assert sum(n or 0 for n in site.json("/page/past.json")["history"]["orders"]) == 12


def test_an_orders_page_tells_its_story_and_what_happens_next(site: Site, shop: Connection) -> None:
    hold_back(shop, "Old-1", "held_back", "held back: 60 days old, max_order_age_days is 14")
    status, headers, body = site.ask("/orders/old-1")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    text = html.unescape(re.sub("<[^>]+>", " ", body))
    assert "Order Old-1 is held back: 60 days old, max_order_age_days is 14;  listener requeue Old-1  sends it." in text
    assert "<code>listener requeue Old-1</code>" in body
    assert "of orders_inbox (X-Cart)" in text
    assert "Nothing until somebody requeues it." in text


@pytest.mark.parametrize("number", [MARKUP, "a/b", "per%cent", "50 %", "ünï", "a`b`", "../../etc", "?q#f", "x" * 500])
def test_whatever_a_number_is_made_of_its_page_is_found_and_shows_it_as_text(
    site: Site, shop: Connection, number: str
) -> None:
    insert_order(shop, number)
    status, _, body = site.ask(f"/orders/{quote(number, safe='')}")
    assert status == 200
    assert f"<h1>Order {html.escape(number, quote=False)}</h1>" in body


@pytest.mark.parametrize("number", ["NOBODY", "", "%00", "%ff", MARKUP])
def test_an_order_that_nobody_has_seen_is_404_and_shown_as_text(site: Site, number: str) -> None:
    status, _, body = site.ask(f"/orders/{quote(number, safe='%')}")
    assert status == 404
    assert "Nobody has ever seen order" in body
    assert "<img" not in body


def test_when_the_database_is_away_the_page_says_so_and_shows_what_is_in_memory(unreachable: Site) -> None:
    unreachable.metrics.set(role="leader", pending=3)
    past = unreachable.json("/page/past.json")
    assert past.keys() == {"away"}
    assert past["away"].startswith("the database does not answer: ")
    assert unreachable.json("/page/now.json")["status"]["pending"] == 3
    status, _, body = unreachable.ask("/orders/1001")
    assert status == 503
    assert "cannot be told now: the database does not answer" in body


def test_a_database_that_has_no_schema_is_told_from_one_that_is_away(empty_dsn: str) -> None:
    site = Site(empty_dsn)
    assert "run `listener install`" in site.json("/page/past.json")["away"]
    site.server.stop()


def test_a_locked_table_costs_the_page_its_orders_and_nothing_else(site: Site, dsn: str) -> None:
    with psycopg.connect(dsn) as locker:
        locker.execute("lock table orders_inbox in access exclusive mode")
        assert site.json("/page/past.json")["away"] == "the database took too long to answer"
        assert site.json("/page/now.json")["status"]["version"] == "1.2.3"


def test_no_connection_is_kept_when_nobody_looks_any_more(
    monkeypatch: pytest.MonkeyPatch, site: Site, shop: Connection
) -> None:
    monkeypatch.setattr(archive, "CLOSED_AFTER_SECONDS", 0.05)
    for path in ("/page/past.json", "/orders/1", "/page/past.json"):
        site.ask(path)
    count = "select count(*) from pg_stat_activity where application_name = 'page test'"
    eventually(lambda: shop.execute(count.encode()).fetchone(), lambda row: row == (0,))


def test_viewers_share_what_is_made_for_the_first_of_them(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "NOW_GOOD_FOR", 60.0)
    monkeypatch.setattr(pages, "PAST_GOOD_FOR", 60.0)
    made: list[str] = []
    write, look = json.dumps, site.metrics.snapshot
    monkeypatch.setattr(json, "dumps", lambda *body, **how: made.append("body") or write(*body, **how))
    monkeypatch.setattr(site.metrics, "snapshot", lambda: made.append("snapshot") or look())
    now = [site.json("/page/now.json") for _ in range(5)]
    assert made == ["snapshot", "body"]
    past = [site.json("/page/past.json") for _ in range(5)]
    assert made == ["snapshot", "body", "body"]
    assert past[1:] == past[:1] * 4
    at = [answer.pop("at") for answer in now]
    assert now[1:] == now[:1] * 4
    assert sorted(set(at)) == at, "each is told the time when it has asked"


def test_a_viewer_who_asks_later_is_told_what_is_new(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "NOW_GOOD_FOR", 0.0)
    for pending in (1, 2):
        site.metrics.set(pending=pending)
        assert site.json("/page/now.json")["status"]["pending"] == pending


def test_programs_are_told_how_it_is_at_this_moment(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "NOW_GOOD_FOR", 60.0)
    for pending in (1, 2):
        site.metrics.set(pending=pending)
        assert site.json("/page/now.json")["status"]["pending"] == 1
        assert site.json("/status.json")["pending"] == pending


def test_a_secret_that_came_back_from_outside_is_shown_nowhere(site: Site, shop: Connection) -> None:
    hold_back(shop, "S-1", "rejected", f"key {SECRET} is refused")
    shop.execute("update orders_inbox set status = 'failed', failure_reason = %s", [f"key {SECRET} is refused"])
    site.metrics.set(degraded=[f"upload backs off: {SECRET}"])
    site.metrics.error("upload", f"ShipStation said {SECRET}")
    for path in ("/page/now.json", "/page/past.json", "/status.json", "/orders/S-1"):
        body = site.ask(path)[2]
        assert SECRET not in html.unescape(body)
        assert "***" in body
    assert site.json("/page/past.json")["stuck"][0]["reason"] == "key *** is refused"


def test_the_colour_and_its_reasons_are_the_snapshots(site: Site) -> None:
    site.metrics.set(role="leader", listening=True, oldest_pending_seconds=184.0)
    assert site.json("/page/now.json")["health"] == {
        "colour": "red",
        "reasons": ["the oldest due order waits for 184 s"],
    }


def files_of(page: str) -> list[str]:
    return re.findall(r'(?:src|href)="(/static/[^"]+)"', page)


def test_the_page_needs_nothing_but_files_of_its_own_which_a_browser_may_keep(site: Site) -> None:
    status, headers, page = site.ask("/")
    assert (status, headers["cache-control"]) == (200, "no-store")
    assert not [url for url in re.findall(r'(?:src|href)="([^"]+)"', page) if urlsplit(url).netloc]
    assert len(files_of(page)) >= 5
    for path in files_of(page):
        status, headers, _ = site.ask(path)
        assert (status, headers["cache-control"]) == (200, "public, max-age=31536000, immutable")
        assert headers["x-content-type-options"] == "nosniff"


def test_the_page_and_its_files_have_no_script_and_no_style_in_them(site: Site) -> None:
    page = site.ask("/")[2]
    assert not re.findall(r"<script(?![^>]*\bsrc=)", page)
    assert not re.findall(r"<style|\bstyle=|\bon[a-z]+=", page)
    policy = site.ask("/")[1]["content-security-policy"]
    assert "script-src 'self';" in policy
    assert "style-src 'self';" in policy
    assert "unsafe" not in policy


def test_a_file_of_another_version_or_none_is_404(site: Site) -> None:
    path = files_of(site.ask("/")[2])[0]
    name = path.rpartition("/")[2]
    for wrong in (f"/static/000000000000/{name}", f"{path}x", f"{path}/../index.html", "/static//page.js"):
        assert site.ask(wrong)[0] == 404
    assert site.ask(path.replace(name, "uPlot.LICENSE"))[0] == 404


async def all_at_once(asked: Archive, questions: dict[str, Callable[[Connection], Any]]) -> list[Any]:
    asking = [asked.ask(key, question, good_for=60) for key, question in questions.items()]
    return await asyncio.gather(*asking, return_exceptions=True)


def test_many_who_ask_the_same_share_one_question(dsn: str) -> None:
    asked, put = Archive(dsn, "page test"), []

    async def ask() -> list[int]:
        asking = (asked.ask("same", lambda _: put.append(1) or len(put), good_for=60) for _ in range(50))
        return await asyncio.gather(*asking)

    assert (asyncio.run(ask()), put) == ([1] * 50, [1])
    asked.stop()


def pid_of(connection: Connection) -> int:
    return connection.info.backend_pid


def test_one_question_after_another_has_the_same_connection(dsn: str) -> None:
    asked = Archive(dsn, "page test")
    first, second = asyncio.run(all_at_once(asked, {"a": pid_of, "b": pid_of}))
    assert first == second
    asked.stop()


def test_a_connection_that_was_closed_meanwhile_costs_no_answer(dsn: str, shop: Connection) -> None:
    asked = Archive(dsn, "page test")
    (first,) = asyncio.run(all_at_once(asked, {"a": pid_of}))
    shop.execute("select pg_terminate_backend(%s, 5000)", [first])
    (second,) = asyncio.run(all_at_once(asked, {"b": pid_of}))
    assert isinstance(second, int)
    assert second != first
    asked.stop()


def test_no_more_than_a_few_questions_wait(dsn: str) -> None:
    asked = Archive(dsn, "page test")
    answers = asyncio.run(all_at_once(asked, {str(n): lambda _: "answer" for n in range(MOST_WAITING + 3)}))
    assert answers[:MOST_WAITING] == ["answer"] * MOST_WAITING
    assert {type(answer) for answer in answers[MOST_WAITING:]} == {Unavailable}
    asked.stop()


def test_who_waits_too_long_is_told_so_and_the_answer_serves_the_next(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Archive(dsn, "page test")

    async def ask() -> str:
        monkeypatch.setattr(archive, "ANSWER_SECONDS", 0.05)
        with pytest.raises(Unavailable, match="has not answered"):
            await asked.ask("slow", slow, good_for=60)
        monkeypatch.setattr(archive, "ANSWER_SECONDS", 10)
        return await asked.ask("slow", slow, good_for=60)

    def slow(connection: Connection) -> str:
        connection.execute("select pg_sleep(0.3)")
        return "answer"

    assert asyncio.run(ask()) == "answer"
    asked.stop()


def test_a_question_can_write_nothing(dsn: str, shop: Connection) -> None:
    asked = Archive(dsn, "page test")
    insert = "insert into listener.requeues (order_key, by) values ('x', 'y')"
    (answer,) = asyncio.run(all_at_once(asked, {"write": lambda connection: connection.execute(insert.encode())}))
    assert "read-only" in str(answer)
    asked.stop()


def test_a_fault_of_ours_is_logged_and_told_as_one(dsn: str, caplog: pytest.LogCaptureFixture) -> None:
    asked = Archive(dsn, "page test")
    (answer,) = asyncio.run(all_at_once(asked, {"bug": lambda _: 1 / 0}))
    assert str(answer) == "a fault of the listener; its log has the traceback"
    assert "ZeroDivisionError" in caplog.text
    asked.stop()
