"""Upload and sync in one process: what one reads serves the other, and neither stands in the other's way."""

import threading
from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest

from listener.embedded.shipstation import ShipStationSimulator
from listener.errors import Transient
from listener.events import Synced
from listener.store.sync import sync_transaction
from tests.support.shop import Connection, insert_order, row_of, value_of
from tests.support.sync import WATERMARK, Syncing, failures, status_of, syncing, tracking_of, upload, versions
from tests.support.upload import CREATE, LIST, Leader, insert, set_tokens, statuses, times_made


@pytest.fixture
def beside(dsn: str, account: ShipStationSimulator, ours: Leader) -> Iterator[Syncing]:
    """The sync of the leader `ours`."""
    with syncing(dsn, account, ours.time, led=ours) as beside:
        yield beside


# What one reads serves the other.


def test_while_the_sync_runs_the_upload_asks_for_nothing_of_its_own(
    ours: Leader, beside: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    ours.run_all()
    for n in range(10):
        beside.next_cycle()
        before = len(ours.calls(LIST))
        insert_order(shop, f"A-{n}")
        ours.run_all()
        assert len(ours.calls(LIST)) == before
    assert set(times_made(account).values()) == {1}
    assert statuses(shop) == {"uploaded": 10}


def test_an_order_entered_there_a_cycle_ago_is_adopted_and_not_made_twice(
    ours: Leader, beside: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    ours.run_all()
    there = account.user.create_manual("A-1")
    beside.next_cycle()
    insert_order(shop, "A-1")
    ours.run_all()
    assert row_of(shop, "A-1") == ("uploaded", str(there["orderId"]), None)


def test_without_the_sync_the_upload_reads_for_itself_again(
    ours: Leader, beside: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    ours.run_all()
    beside.next_cycle()
    ours.time.advance(151)
    before = len(ours.calls(LIST))
    insert_order(shop, "A-1")
    ours.run_all()
    assert len(ours.calls(LIST)) == before + 1


def test_the_sync_alone_does_not_make_the_mirror_full(
    ours: Leader, beside: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    beside.cycle()
    full = "select full_at is not null or fresh_at is not null from listener.mirror_state"
    assert value_of(shop, full) is False, "it has read two weeks, and not what lies before"
    ours.run_all()
    assert value_of(shop, full) is True
    fresh_at = value_of(shop, "select fresh_at from listener.mirror_state")
    beside.next_cycle()
    assert value_of(shop, "select fresh_at from listener.mirror_state") > fresh_at


def test_a_reading_that_begins_behind_the_mirrors_watermark_says_nothing_of_what_lies_between(
    ours: Leader, beside: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    account.user.create_manual("OLD")
    ours.run_all()
    before = shop.execute("select watermark, fresh_at from listener.mirror_state").fetchone()
    ours.time.advance(7200)
    account.user.create_manual("BETWEEN")
    ours.time.advance(7200)
    account.user.create_manual("NEW")
    newest = account.order_by_number("NEW")[0]["modifyDate"]
    shop.execute("insert into sync_watermark (workflow_name, last_sync_timestamp) values (%s, %s)", [SYNC, newest])
    beside.cycle()
    assert shop.execute("select watermark, fresh_at from listener.mirror_state").fetchone() == before
    insert_order(shop, "BETWEEN")
    ours.run_all()
    assert times_made(account)["BETWEEN"] == 1


SYNC = "unified-shipstation-sync"


# Stage 1: another program does the sync.


def test_while_the_sync_is_off_the_uploads_readings_change_no_row_and_no_watermark(
    ours: Leader, shop: Connection, account: ShipStationSimulator
) -> None:
    shop.execute("insert into sync_watermark (workflow_name, last_sync_timestamp) values (%s, 'as it was')", [SYNC])
    ours.run_all()
    upload(shop, account, "A-1")
    account.user.ship("A-1", "T1")
    account.user.create_manual("100001", items=[{"sku": "17001", "quantity": 1}])
    before = versions(shop)
    ours.time.advance(3600)
    insert_order(shop, "A-2")
    ours.run_all()
    assert value_of(shop, WATERMARK) == "as it was"
    after = versions(shop)
    assert {key: after[key] for key in before} == before
    assert statuses(shop) == {"uploaded": 2}
    assert value_of(shop, "select count(*) from listener.mirror where status = 'shipped'") == 1


def test_when_the_sync_comes_on_it_takes_over_what_the_upload_has_read_before(
    ours: Leader, beside: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    upload(shop, account, "A-1")
    account.user.ship("A-1", "T1")
    ours.run_all()
    assert status_of(shop, "A-1") == "uploaded"
    beside.cycle()
    assert (status_of(shop, "A-1"), tracking_of(shop, "A-1")) == ("shipped", "T1")


# Orders in our hands.


def test_a_page_of_the_sync_settles_an_order_in_doubt(
    ours: Leader, beside: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    ours.run_all()
    insert_order(shop, "A-1")
    account.inject("drop-after-commit", path=CREATE, times=1)
    ours.run()
    assert ours.ledger("A-1") == ("unknown",)
    beside.next_cycle()
    assert ours.ledger("A-1") == ("accepted",)
    assert row_of(shop, "A-1") == ("uploaded", str(account.orders[0]["orderId"]), None)
    before = len(account.requests)
    ours.run_all()
    assert len(account.requests) == before
    assert times_made(account) == {"A-1": 1}


def test_an_order_in_doubt_that_was_shipped_meanwhile_is_all_there_at_once(
    ours: Leader, beside: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    ours.run_all()
    insert_order(shop, "A-1")
    account.inject("drop-after-commit", path=CREATE, times=1)
    ours.run()
    account.user.ship("A-1", "T1")
    beside.next_cycle()
    assert (status_of(shop, "A-1"), tracking_of(shop, "A-1")) == ("shipped", "T1")
    assert value_of(shop, "select count(*) from shipped_items") == 1


def test_a_request_that_is_under_way_is_the_uploads_to_settle(
    ours: Leader, beside: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    ours.run_all()
    insert_order(shop, "A-1")
    hold, ended = account.hold(path=CREATE, when="after"), []
    sending = threading.Thread(target=lambda: ended.append(ours.run()))
    sending.start()
    assert hold.arrived.wait(5)
    beside.time.passed += 120
    assert value_of(shop, "select state from listener.ledger") == "sending"
    beside.step()
    assert value_of(shop, "select state from listener.ledger") == "sending"
    assert row_of(shop, "A-1") == ("awaiting_shipment", None, None)
    hold.release()
    sending.join(10)
    assert ended
    assert row_of(shop, "A-1")[0] == "uploaded"


def test_an_order_that_was_adopted_as_shipped_is_completed_by_the_sync(
    ours: Leader, beside: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    account.user.create_manual("A-1", items=[{"sku": "17001", "quantity": 1}])
    account.user.ship("A-1", "T1")
    beside.cycle()
    insert_order(shop, "A-1")
    ours.run_all()
    assert (status_of(shop, "A-1"), tracking_of(shop, "A-1")) == ("shipped", None)
    beside.time.advance(86400)
    beside.cycle()
    assert tracking_of(shop, "A-1") == "T1"
    assert value_of(shop, "select count(*) from shipped_items") == 1


def test_no_page_of_the_sync_rings_or_makes_a_row_pending(
    ours: Leader, beside: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    for n, word in enumerate(["uploaded", "failed", "cancelled", "on_hold", "pending", "shipped", "synced_manual"]):
        insert_order(shop, f"A-{n}", status=word)
        account.user.create_manual(f"A-{n}")
    account.user.create_manual("100001", items=[{"sku": "17001", "quantity": 1}])
    shop.execute("listen orders_inbox")
    beside.cycle()
    assert ours.run_all().report.done == 0
    assert list(shop.notifies(timeout=0.2)) == []


# The budget.


def test_a_saturated_upload_leaves_the_sync_its_call_and_the_sync_the_upload_its_own(
    ours: Leader, beside: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    ours.run_all()
    beside.cycle()
    ours.flags = replace(ours.flags, api_calls_per_hour=200, upload_batch_size=1)
    beside.flags = replace(beside.flags, api_calls_per_hour=200)
    insert(shop, 400)
    set_tokens(ours, 0)
    listed, uploads, syncs, began = len(ours.calls(LIST)), 0.0, 0.0, 0.0
    for now in range(3600):  # an hour, in which the upload could do with every call there is
        ours.time.advance(1)
        if now >= uploads:
            uploads = now + (ours.run_all().rest_for or 0)
        if now >= syncs:
            synced = beside.step()
            began, syncs = next_of(synced, began, now)
    lists, sends = len(ours.calls(LIST)) - listed, len(ours.sent())
    assert 28 <= lists <= 31, "a call a cycle, of thirty cycles"
    assert lists + sends <= 180
    assert sends >= 140, "and the rest is the upload's"


def next_of(synced: Synced, began: float, now: float) -> tuple[float, float]:
    """Return when the next cycle begins, or this one began, and when its next step is due: as the schedule has it."""
    if synced.over:
        return max(now, began + 120), max(now, began + 120)
    return began, now + (synced.report.retry_after or 0)


def test_long_readings_leave_calls_for_orders(
    ours: Leader, beside: Syncing, shop: Connection, account: ShipStationSimulator, small_pages: int
) -> None:
    ours.run_all()
    for n in range(400):
        account.user.create_manual(f"X-{n}")
        ours.time.advance(1)
    beside.flags = ours.flags = replace(ours.flags, api_calls_per_hour=200)
    set_tokens(ours, 20)
    while True:
        synced = beside.step()
        if synced.report.retry_after:
            break
    left = value_of(shop, "select tokens from listener.budget")
    assert 4.9 <= left < 6.1


def test_a_failure_of_the_sync_leaves_the_upload_alone(
    ours: Leader, beside: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    ours.run_all()
    account.inject("503", path=LIST)
    with pytest.raises(Transient):
        beside.next_cycle()
    insert_order(shop, "A-1")
    ours.run_all()
    assert status_of(shop, "A-1") == "uploaded"


def test_a_row_that_the_upload_writes_at_this_moment_is_left_to_it(
    dsn: str, ours: Leader, beside: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    upload(shop, account, "A-1")
    account.user.ship("A-1")
    with psycopg.connect(dsn) as other:
        other.execute("select from orders_inbox for update")
        beside.cycle()
        assert len(failures(shop)) == 1
    beside.next_cycle()
    assert status_of(shop, "A-1") == "shipped"


# A host that froze in the middle of a page would keep the next leader from its epoch for as long as it stands still.
def test_a_sync_that_stands_still_in_a_transaction_keeps_nobody_from_leading_for_more_than_five_seconds(
    dsn: str, shop: Connection
) -> None:
    with psycopg.connect(dsn, autocommit=True) as still, sync_transaction(still, 0):
        assert value_of(still, "show idle_in_transaction_session_timeout") == "5s"
