"""What the program before this one did wrong, a test each: a watermark that jumped, one order that blocked all others.

The sentences of the tests are what holds now; the comments tell what happened then.
"""

from datetime import timedelta
from typing import Any

import pytest

from listener.embedded.shipstation import ShipStationSimulator
from listener.errors import Transient
from listener.shipstation.watermark import read_watermark
from listener.store import shop_rows
from listener.workflows.write_plans import BUSY
from tests.support.shop import Connection, insert_order, row_of, value_of
from tests.support.sync import (
    WATERMARK,
    Syncing,
    conflicts,
    failures,
    set_row,
    status_of,
    tracking_of,
    upload,
    versions,
)

ITEM = [{"sku": "17001", "quantity": 1}]


def watermark(shop: Connection) -> str | None:
    text: str | None = value_of(shop, WATERMARK)
    return text


# Its fetch returned an empty list for any error: "no orders", and the watermark went to now.
@pytest.mark.parametrize("fault", ["503", "500", "drop-before-commit", "cut", "answer:body=[]", "answer:body={}"])
def test_a_fetch_that_fails_is_an_error_and_moves_no_watermark(
    sync: Syncing, shop: Connection, account: ShipStationSimulator, fault: str
) -> None:
    upload(shop, account, "A-1")
    sync.cycle()
    before = watermark(shop)
    account.user.ship("A-1")
    account.inject(fault, path="/orders", times=1) if ":" not in fault else account.inject(fault)
    with pytest.raises(Transient):
        sync.next_cycle()
    assert watermark(shop) == before
    account.clear_faults()
    sync.next_cycle()
    assert status_of(shop, "A-1") == "shipped"


# It stopped paging at the first error and took what it had for all there was.
def test_a_reading_that_breaks_off_between_two_pages_misses_nothing(
    sync: Syncing, shop: Connection, account: ShipStationSimulator, small_pages: int
) -> None:
    numbers = [f"A-{n}" for n in range(50)]
    for number in numbers:
        upload(shop, account, number)
        sync.time.advance(1)
    sync.cycle()
    sync.time.advance(3600)
    for number in numbers:
        account.user.hold(number, "2035-12-24")
        sync.time.advance(1)
    sync.step()
    account.inject("503", path="/orders")
    with pytest.raises(Transient):
        sync.cycle()
    account.clear_faults()
    sync.lead()
    sync.next_cycle()
    assert {status_of(shop, number) for number in numbers} == {"on_hold"}


# With nothing found it wrote its own local time, with a Z behind it: seven hours into ShipStation's future.
def test_when_nothing_is_found_the_watermark_stays_where_it_is(
    sync: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    sync.cycle()
    assert watermark(shop) is None
    upload(shop, account, "A-1")
    sync.next_cycle()
    before = watermark(shop)
    assert before == account.orders[0]["modifyDate"]
    sync.time.advance(3600)
    sync.cycle()
    assert watermark(shop) == before


# It compared times as text, so that a Z or other digits made an earlier time the greater one.
@pytest.mark.parametrize("left", ["2035-07-15T19:59:59Z", "rubbish", "2035-07-15 11:59:59", "9999-12-31T00:00:00"])
def test_the_watermark_that_it_left_is_read_however_it_is_written_and_is_followed_by_a_better_one(
    sync: Syncing, shop: Connection, account: ShipStationSimulator, left: str
) -> None:
    shop.execute(
        "insert into sync_watermark (workflow_name, last_sync_timestamp) values ('unified-shipstation-sync', %s)",
        [left],
    )
    sync.time.advance(7200)
    upload(shop, account, "A-1")
    sync.cycle()
    assert watermark(shop) == account.orders[0]["modifyDate"]
    assert value_of(shop, "select count(*) from sync_watermark") == 1


# Without a watermark, or after an error of reading it, it began 14 days back: that is so still.
def test_without_a_watermark_two_weeks_are_read(sync: Syncing, shop: Connection, account: ShipStationSimulator) -> None:
    now, clock = sync.time.utc(), account.clock
    for number, days in (("OLD", 15), ("NEW", 13)):
        account.clock = lambda days=days: now - timedelta(days=days)
        upload(shop, account, number)
        account.user.hold(number, "2035-12-24")
    account.clock = clock
    sync.step()
    assert (status_of(shop, "OLD"), status_of(shop, "NEW")) == ("uploaded", "on_hold")


# An error of one order rolled back the whole run, which then began anew, for ever.
def test_one_order_that_cant_be_written_costs_no_other_one_and_does_not_hold_the_watermark(
    sync: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    for number in ("A-1", "A-2", "A-3"):
        upload(shop, account, number)
    shop.execute("alter table orders_inbox add constraint test check (order_number <> 'A-2' or status <> 'shipped')")
    for number in ("A-1", "A-2", "A-3"):
        account.user.ship(number, f"T-{number}")
    sync.cycle()
    assert [status_of(shop, number) for number in ("A-1", "A-2", "A-3")] == ["shipped", "uploaded", "shipped"]
    assert watermark(shop) == max(order["modifyDate"] for order in account.orders)
    ((kind, order_id, error, tries),) = failures(shop)
    assert (kind, order_id, tries) == ("apply", row_of(shop, "A-2")[1], 0)
    assert "test" in error, "the database's own words"
    shop.execute("alter table orders_inbox drop constraint test")
    sync.next_cycle()
    sync.next_cycle()
    assert (status_of(shop, "A-2"), tracking_of(shop, "A-2")) == ("shipped", "T-A-2")
    assert failures(shop) == []


# Its helpers caught a database error and went on in the broken savepoint, where all that followed failed as well.
def test_an_error_inside_an_order_is_counted_once_and_breaks_nothing_that_follows(
    sync: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    shop.execute("alter table order_items_inbox add constraint test check (sku <> '17666')")
    account.user.create_manual("100001", items=[{"sku": "17666", "quantity": 1}])
    account.user.create_manual("100002", items=ITEM)
    sync.cycle()
    assert [failure[2].count("test") for failure in failures(shop)] == [1]
    assert status_of(shop, "100002") == "synced_manual"


# A row that somebody had locked made its update wait, and then the whole run fail.
def test_a_row_that_is_locked_waits_for_its_turn_and_nothing_waits_for_it(
    dsn: str, sync: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    for number in ("A-1", "A-2"):
        upload(shop, account, number)
        account.user.ship(number)
    with shop.transaction():
        shop.execute("select from orders_inbox where order_number = 'A-1' for update")
        sync.cycle()
        assert [error for _, _, error, _ in failures(shop)] == [BUSY]
    assert (status_of(shop, "A-1"), status_of(shop, "A-2")) == ("uploaded", "shipped")
    sync.next_cycle()
    assert status_of(shop, "A-1") == "shipped"


# What the shop changed between its look and its write was overwritten.
def test_what_the_shop_does_to_a_row_while_a_page_is_taken_over_stays(
    sync: Syncing, shop: Connection, account: ShipStationSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in ("A-1", "A-2"):
        upload(shop, account, number)
        account.user.hold(number, "2035-12-24")
    change_rows = shop_rows.change_rows

    def but_first(*arguments: Any) -> Any:
        monkeypatch.undo()
        set_row(shop, "A-1", status="awaiting_shipment", shipstation_order_id=None)  # it is to go once more
        return change_rows(*arguments)

    monkeypatch.setattr(shop_rows, "change_rows", but_first)
    sync.cycle()
    assert row_of(shop, "A-1")[:2] == ("awaiting_shipment", None)
    assert status_of(shop, "A-2") == "on_hold"
    assert [error for _, _, error, _ in failures(shop)] == [BUSY]


# Orders have no trackingNumber; it read one all the same, and wrote NULL over what it had at each update.
def test_what_shipstation_does_not_say_overwrites_nothing(
    sync: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    upload(shop, account, "A-1", carrierCode="ups", serviceCode="ups_ground")
    account.user.ship("A-1", "T1")
    sync.cycle()
    account.user.edit("A-1", carrierCode=None, serviceCode=None, items=[], customerEmail=None)
    account.inject("503", path="/shipments")
    sync.next_cycle()
    columns = "tracking_number, shipping_carrier_code, shipping_service_code, shipping_service_name, total_items"
    assert shop.execute(f"select {columns} from orders_inbox".encode()).fetchone() == (
        *("T1", "simulated_carrier", "simulated_ground", "Simulated Ground", 2),
    )


def test_a_label_without_a_number_takes_no_number_away(
    sync: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    upload(shop, account, "A-1")
    set_row(shop, "A-1", tracking_number="BY-HAND")
    account.user.mark_shipped("A-1", None, carrier="dhl")
    sync.cycle()
    assert tracking_of(shop, "A-1") == "BY-HAND"
    assert value_of(shop, "select shipping_carrier_code from orders_inbox") == "dhl"


def test_a_ship_date_that_is_not_said_takes_none_away(
    sync: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    upload(shop, account, "A-1", orderDate="2035-07-01T00:00:00")
    upload(shop, account, "A-2", orderDate="2035-07-01T00:00:00")
    shop.execute("insert into shipped_orders (order_number, ship_date) values ('A-1', '2035-07-09')")
    for number in ("A-1", "A-2"):
        account.user.edit(number, orderStatus="shipped")
    sync.cycle()
    dates = shop.execute("select order_number, ship_date from shipped_orders order by 1").fetchall()
    assert dates == [("A-1", "2035-07-09"), ("A-2", "2035-07-01")]


# It looked for another order of the same number with a search that matches by the beginning.
def test_numbers_that_only_begin_alike_have_nothing_to_do_with_each_other(
    sync: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    upload(shop, account, "A-1")
    insert_order(shop, "A-100", status="uploaded")
    for number in ("A-10", "A-1-2"):
        account.user.create_manual(number)
        account.user.ship(number)
    sync.cycle()
    assert (status_of(shop, "A-1"), row_of(shop, "A-100")[:2]) == ("uploaded", ("uploaded", None))
    assert conflicts(shop) == []


# When its question whether a row exists failed, it read the failure as "no", and inserted another one.
def test_an_error_of_the_question_whether_a_row_exists_is_not_an_answer(
    sync: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    upload(shop, account, "100001")
    sync.cycle()
    account.user.hold("100001", "2035-12-24")
    before = watermark(shop)
    shop.execute("alter table shipstation_order_line_items rename to gone")
    with pytest.raises(Exception, match="shipstation_order_line_items"):
        sync.next_cycle()
    assert watermark(shop) == before
    shop.execute("alter table gone rename to shipstation_order_line_items")
    sync.next_cycle()
    assert shop.execute("select order_number, status from orders_inbox").fetchall() == [("100001", "on_hold")]


# The same SKU in two lots broke the unique key of the lines, and with it the run.
def test_a_manual_order_with_one_sku_in_two_lots_has_one_line_of_it(
    sync: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    lots = [{"sku": "17001 - A", "quantity": 1}, {"sku": "17001 - B", "quantity": 2}]
    account.user.create_manual("100001", items=lots)
    sync.cycle()
    assert shop.execute("select sku, sku_lot, quantity from order_items_inbox").fetchall() == [("17001", None, 3)]
    assert failures(shop) == []


# A conflict was counted as an error: everything was rolled back, its own record with it, and the watermark stood still.
def test_a_conflict_is_recorded_and_holds_nothing_up(
    sync: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    account.user.create_manual("100001", items=ITEM)
    sync.cycle()
    account.user.create_manual("100001", items=ITEM)
    upload(shop, account, "A-1")
    account.user.ship("A-1")
    sync.next_cycle()
    assert len(conflicts(shop)) == 1
    assert status_of(shop, "A-1") == "shipped"
    assert watermark(shop) == max(order["modifyDate"] for order in account.orders)


# A new manual order that awaits shipment became pending: the uploader sent it again.
def test_an_order_entered_there_is_not_uploaded_again(
    sync: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    account.user.create_manual("100001", items=ITEM)
    sync.cycle()
    pending = "select count(*) from orders_inbox where status in ('pending', 'awaiting_shipment')"
    assert value_of(shop, pending) == 0


# A status that it did not know went into the row as it was, where the table's CHECK refused it.
@pytest.mark.parametrize("status", ["pending_fulfillment", "rejected_fulfillment", "processing", "x" * 200])
def test_a_status_that_the_table_does_not_take_breaks_nothing(
    sync: Syncing, shop: Connection, account: ShipStationSimulator, status: str
) -> None:
    upload(shop, account, "A-1")
    account.user.edit("A-1", orderStatus=status)
    account.user.create_manual("100001", items=ITEM, orderStatus=status)
    sync.cycle()
    assert (status_of(shop, "A-1"), status_of(shop, "100001")) == ("uploaded", "synced_manual")
    assert failures(shop) == []


# 19.99 became 1998 cents.
def test_money_keeps_its_last_cent(sync: Syncing, shop: Connection, account: ShipStationSimulator) -> None:
    account.user.create_manual("100001", items=[{"sku": "17001", "quantity": 3, "unitPrice": 19.99}])
    sync.cycle()
    assert value_of(shop, "select unit_price_cents from order_items_inbox") == 1999
    assert value_of(shop, "select total_amount_cents from orders_inbox") == 5997


# An order that was being typed in had no lines yet, and got none later.
def test_an_order_that_is_still_being_typed_in_is_complete_later(
    sync: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    shop.execute(
        "insert into configuration_params (category, parameter_name, value, sku)"
        " values ('Key Products', 'k', 'k', '17001')"
    )
    account.user.create_manual("100001")
    sync.cycle()
    assert value_of(shop, "select count(*) from orders_inbox") == 0
    account.user.edit("100001", items=ITEM)
    sync.next_cycle()
    assert value_of(shop, "select count(*) from order_items_inbox") == 1


# Every run wrote every row it saw, so that `updated_at` said nothing and triggers ran for nothing.
def test_a_row_that_shows_it_all_is_not_written_again(
    sync: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    upload(shop, account, "A-1")
    account.user.ship("A-1", "T1")
    sync.cycle()
    before = versions(shop)
    account.user.edit("A-1", internalNotes="seen")
    sync.next_cycle()
    after = versions(shop)
    assert {key for key in after if after[key] != before.get(key)} == {"sync_watermark 1"}


# Its list was not sorted: whatever changed between two pages slid past it.
def test_the_list_is_asked_for_by_time_of_change_and_never_its_second_page(
    sync: Syncing, account: ShipStationSimulator, small_pages: int
) -> None:
    for n in range(60):
        account.user.create_manual(f"A-{n}")
        sync.time.advance(2)
    sync.cycle()
    queries = [query for query in sync.calls("/orders") if "orderstatus" not in query]
    assert {(query["sortby"], query["sortdir"], query["page"]) for query in queries} == {("ModifyDate", "ASC", "1")}
    assert len(queries) >= 3


# 57 orders that were shipped quickly stayed open here for good, because it never looked back.
def test_what_was_missed_heals_within_a_day(sync: Syncing, shop: Connection, account: ShipStationSimulator) -> None:
    numbers = [f"A-{n}" for n in range(6)]
    for number in numbers:
        upload(shop, account, number)
    sync.cycle()
    for number in numbers[:4]:
        account.user.ship(number, f"T-{number}")
    late = account.orders[0]["modifyDate"]
    shop.execute("update sync_watermark set last_sync_timestamp = %s", [late])
    sync.lead()
    sync.time.advance(2 * 86400)
    shop.execute("update orders_inbox set created_at = created_at - interval '2 days'")
    account.user.create_manual("LATER")
    newer = account.order_by_number("LATER")[0]["modifyDate"]
    shop.execute("update sync_watermark set last_sync_timestamp = %s", [newer])
    assert read_watermark(newer, sync.time.utc()) > read_watermark(late, sync.time.utc())
    sync.cycle()
    assert [status_of(shop, number) for number in numbers] == ["shipped"] * 4 + ["uploaded"] * 2
    assert tracking_of(shop, "A-0") == "T-A-0"


# It knew five products by heart; those of the table did not count.
def test_a_product_becomes_a_key_product_by_a_row_of_the_table(
    sync: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    shop.execute(
        "insert into configuration_params (category, parameter_name, value, sku)"
        " values ('Key Products', 'k', 'k', '55555')"
    )
    account.user.create_manual("100001", items=[{"sku": "17612", "quantity": 1}])
    account.user.create_manual("100002", items=[{"sku": "55555 - L", "quantity": 1}])
    sync.cycle()
    assert shop.execute("select order_number from orders_inbox").fetchall() == [("100002",)]


# The tracking of a voided label, or of a return, was taken for the order's.
def test_voided_labels_and_returns_are_no_tracking(
    sync: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    upload(shop, account, "A-1")
    account.user.ship("A-1", "VOIDED")
    account.user.void("A-1")
    account.user.ship("A-1", "RETURN", isReturnLabel=True)
    account.user.ship("A-1", "T1")
    sync.cycle()
    assert tracking_of(shop, "A-1") == "T1"
    set_row(shop, "A-1", tracking_number=None)
