"""The sync in `listener run`: what happens at ShipStation comes back, and it can be steered like the others."""

import re
from collections.abc import Callable
from datetime import datetime

import psycopg
import pytest

from listener.embedded.shipstation import ShipStationSimulator
from tests.acceptance.conftest import wait_until_asleep
from tests.support.pooler import TransactionPooler
from tests.support.process import ListenerProcess
from tests.support.shop import Connection, insert_order, row_of, set_flag, switch, value_of
from tests.support.wait import eventually

SYNC = "unified-shipstation-sync"
CYCLE = r"METRICS: workflow=sync fetched=\d+ changed=\d+ interval=\d+ duration_ms=\d+\.\d\d action=\w+ source=\w+$"

Start = Callable[..., ListenerProcess]


def cycle(shop: Connection, process: ListenerProcess) -> str:
    """Have a cycle run now, and return its line: a workflow that is switched on begins at once."""
    switch(shop, SYNC, on=False)
    process.wait_status(lambda status: status["workflows"][SYNC]["state"] == "disabled")
    place = process.mark()
    switch(shop, SYNC, on=True)
    return process.wait_for(CYCLE, after=place)[0]


def shipped(shop: Connection, number: str) -> tuple[object, ...]:
    columns = "status, tracking_number"
    row = shop.execute(f"select {columns} from orders_inbox where order_number = %s".encode(), [number]).fetchone()
    assert row is not None
    return tuple(row)


def test_an_order_goes_up_and_comes_back_shipped(
    shop: Connection, account: ShipStationSimulator, asleep: ListenerProcess
) -> None:
    asleep.wait_for(r"Unified sync started \(interval=120s\)$")
    first = asleep.wait_for(CYCLE)[0]
    assert " fetched=0 changed=0 interval=120 " in first
    assert first.endswith("action=skip source=startup")
    insert_order(shop, "A-1")
    eventually(lambda: row_of(shop, "A-1")[0], lambda status: status == "uploaded")
    account.user.ship("A-1", "T1")
    line = cycle(shop, asleep)
    assert " changed=2 " in line, "its row, and then its tracking"
    assert shipped(shop, "A-1") == ("shipped", "T1")
    assert value_of(shop, "select count(*) from shipped_items") == 1
    assert not [line for line in asleep.lines if "WARNING" in line or "ERROR" in line]


def test_the_status_page_tells_of_it(shop: Connection, account: ShipStationSimulator, asleep: ListenerProcess) -> None:
    figures = asleep.wait_status(lambda status: status["workflows"][SYNC]["checks"])["workflows"][SYNC]
    assert (figures["enabled"], figures["state"], figures["errors"]) == (True, "waiting", 0)
    assert (figures["skips"], figures["skip_rate"], figures["processed"]) == (1, 1.0, 0)
    assert figures["last_run_at"] < figures["next_due_at"]
    assert figures["backoff_until"] is None
    account.inject("503", path="/orders")
    switch(shop, SYNC, on=False)
    asleep.wait_status(lambda status: status["workflows"][SYNC]["state"] == "disabled")
    switch(shop, SYNC, on=True)
    status = asleep.wait_status(lambda status: status["workflows"][SYNC]["state"] == "backoff")
    assert status["workflows"][SYNC]["backoff_until"]
    assert "sync backs off after error #1: ShipStation answered 503" in status["degraded"][0]
    asleep.wait_for(r"Backing off 60s after error #1")
    insert_order(shop, "A-1")
    assert account.wait_for_orders(1, 5), "and orders go all the same"


def test_a_changed_interval_is_in_force_at_once(
    shop: Connection, account: ShipStationSimulator, asleep: ListenerProcess
) -> None:
    asleep.wait_for(CYCLE)
    asleep.wait_status(lambda status: 115 < seconds_between(status["workflows"][SYNC]) < 121)
    set_flag(shop, "sync_interval", "10")
    asleep.wait_for(r"sync_interval 120 -> 10 \(interval=10s\)")
    asleep.wait_status(lambda status: 5 < seconds_between(status["workflows"][SYNC]) < 11)


def seconds_between(figures: dict[str, str]) -> float:
    """Return the time from the last run to the next."""
    last, due = (datetime.fromisoformat(figures[name]) for name in ("last_run_at", "next_due_at"))
    return (due - last).total_seconds()


def test_switched_off_it_touches_nothing(
    dsn: str, shop: Connection, account: ShipStationSimulator, without_sync: None, listener_process: Start
) -> None:
    shop.execute("insert into sync_watermark (workflow_name, last_sync_timestamp) values (%s, 'theirs')", [SYNC])
    process = listener_process(dsn)
    wait_until_asleep(process)
    insert_order(shop, "A-1")
    eventually(lambda: row_of(shop, "A-1")[0], lambda status: status == "uploaded")
    account.user.ship("A-1", "T1")
    insert_order(shop, "A-2")
    eventually(lambda: row_of(shop, "A-2")[0], lambda status: status == "uploaded")
    assert (row_of(shop, "A-1")[0], value_of(shop, "select last_sync_timestamp from sync_watermark")) == (
        *("uploaded", "theirs"),
    )
    assert not [line for line in process.lines if "sync" in line.lower() and "Unified" in line]


def test_it_lives_behind_a_transaction_pooler(
    dsn: str, shop: Connection, account: ShipStationSimulator, listener_process: Start
) -> None:
    with TransactionPooler(dsn, size=2) as pooler:
        process = listener_process(pooler.url(dsn), LISTEN_DATABASE_URL=dsn)
        wait_until_asleep(process)
        process.wait_for(CYCLE)
        for n in range(4):
            insert_order(shop, f"A-{n}")
        eventually(
            lambda: value_of(shop, "select count(*) from orders_inbox where status = 'uploaded'"), lambda n: n == 4
        )
        for n in range(4):
            account.user.ship(f"A-{n}", f"T{n}")
        cycle(shop, process)
        assert [shipped(shop, f"A-{n}") for n in range(4)] == [("shipped", f"T{n}") for n in range(4)]
        assert not [line for line in process.lines if "WARNING" in line or "ERROR" in line]


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_while_shipstation_answers_it_goes_on_where_it_was(
    dsn: str, shop: Connection, account: ShipStationSimulator, listener_process: Start, when: str
) -> None:
    process = listener_process(dsn)
    process.wait_for(CYCLE)
    insert_order(shop, "A-1")
    eventually(lambda: row_of(shop, "A-1")[0], lambda status: status == "uploaded")
    account.user.ship("A-1", "T1")
    hold = account.hold(path="/orders", when=when)
    switch(shop, SYNC, on=False)
    process.wait_status(lambda status: status["workflows"][SYNC]["state"] == "disabled")
    switch(shop, SYNC, on=True)
    assert hold.arrived.wait(5)
    process.kill()
    hold.release()
    assert row_of(shop, "A-1")[0] == "uploaded"
    listener_process(dsn).wait_for(CYCLE)
    assert shipped(shop, "A-1") == ("shipped", "T1")


def test_a_flag_is_in_force_and_orders_go_while_the_syncs_request_hangs(
    dsn: str, shop: Connection, account: ShipStationSimulator, asleep: ListenerProcess
) -> None:
    asleep.wait_for(CYCLE)
    switch(shop, SYNC, on=False)
    asleep.wait_status(lambda status: status["workflows"][SYNC]["state"] == "disabled")
    hold = account.hold(path="/orders")
    switch(shop, SYNC, on=True)
    assert hold.arrived.wait(5)
    insert_order(shop, "A-1")
    assert account.wait_for_orders(1, 5)
    set_flag(shop, "upload_batch_size", "50")
    asleep.wait_for(r"upload_batch_size 100 -> 50")
    hold.release()


def test_a_second_listener_does_not_sync(
    dsn: str, shop: Connection, account: ShipStationSimulator, asleep: ListenerProcess, listener_process: Start
) -> None:
    asleep.wait_for(CYCLE)
    standby = listener_process(dsn)
    status = standby.wait_status(lambda status: status["listening"])
    assert status["workflows"][SYNC]["state"] == "standby"
    before = len([request for request in account.requests if request.path == "/orders"])
    set_flag(shop, "upload_batch_size", "50")
    standby.wait_for(r"upload_batch_size 100 -> 50")
    assert len([request for request in account.requests if request.path == "/orders"]) == before
    assert asleep.stop() == 0
    standby.wait_for(CYCLE)
    assert not [line for line in standby.lines if re.search("WARNING|ERROR", line)]


def test_a_restored_copy_does_not_sync(
    dsn: str, shop: Connection, account: ShipStationSimulator, listener_process: Start
) -> None:
    shop.execute("insert into listener.home (database, system_identifier, host) values ('elsewhere', '', 'localhost')")
    process = listener_process(dsn)
    process.wait_status(lambda status: status["workflows"][SYNC]["state"] == "held")
    process.wait_for("Uploads are held")
    assert [request.path for request in account.requests] == []
    with psycopg.connect(dsn) as connection:
        assert connection.execute("select count(*) from sync_watermark").fetchone() == (0,)
