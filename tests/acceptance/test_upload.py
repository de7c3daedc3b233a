"""An order goes in and is at ShipStation a moment later, once."""

import re
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import psycopg

from listener.embedded.shipstation import ShipStationSimulator
from tests.acceptance.conftest import wait_until_asleep
from tests.support.process import ListenerProcess
from tests.support.shop import Connection, insert_items, insert_order, row_of, set_flag, switch, value_of
from tests.support.wait import eventually

CREATE = "/orders/createorders"


def test_a_committed_order_wakes_the_listener_and_arrives_once(
    shop: Connection, account: ShipStationSimulator, asleep: ListenerProcess
) -> None:
    insert_order(shop, "T-1", items=[("17001", 2, 1999), ("17002", 1, 5)])
    assert account.wait_for_orders(1, 5)
    asleep.wait_for(r"METRICS: workflow=upload exists=True count=1 duration_ms=\d+\.\d\d action=process source=notify$")
    (order,) = account.orders
    status, order_id, _ = eventually(lambda: row_of(shop, "T-1"), lambda row: row[0] == "uploaded")
    assert (status, order_id) == ("uploaded", str(order["orderId"]))
    assert Decimal(str(order["amountPaid"])) == Decimal("40.03")
    assert value_of(shop, "select state from listener.ledger") == "accepted"
    assert (
        value_of(shop, "select count(*) from shipstation_order_line_items where shipstation_order_id = %s", order_id)
        == 2
    )
    assert value_of(shop, "select status from listener.api_calls") == 200


def test_orders_that_waited_for_the_start_are_found_without_a_bell(
    dsn: str, shop: Connection, account: ShipStationSimulator, listener_process: Callable[..., ListenerProcess]
) -> None:
    for n in range(250):
        insert_order(shop, f"S-{n}")
    process = listener_process(dsn)
    assert account.wait_for_orders(250, 20)
    process.wait_for("exists=True count=250 .* action=process source=startup")
    process.wait_for("Upload queue empty")
    assert max(Counter(order["orderNumber"] for order in account.orders).values()) == 1
    assert [len(r.body) for r in account.requests if r.path == CREATE] == [100, 100, 50]


def test_an_order_whose_header_is_committed_before_its_items_waits_for_them(
    shop: Connection, account: ShipStationSimulator, asleep: ListenerProcess
) -> None:
    order_id = insert_order(shop, "H-1", items=[])
    asleep.wait_for("exists=True count=1")
    eventually(lambda: value_of(shop, "select state from listener.ledger"), lambda state: state == "waiting")
    insert_items(shop, order_id, [("17001", 1, 100)])
    assert account.wait_for_orders(1, 5)
    assert len(account.orders[0]["items"]) == 1


def test_an_order_without_items_or_address_fails_with_a_reason_and_the_others_go(
    shop: Connection, account: ShipStationSimulator, asleep: ListenerProcess
) -> None:
    insert_order(shop, "BAD-1", items=[])
    with shop.transaction():  # or the listener may be quicker than the second statement
        insert_order(shop, "BAD-2")
        shop.execute("update orders_inbox set ship_city = null where order_number = 'BAD-2'")
    insert_order(shop, "GOOD-1")
    assert account.wait_for_orders(1, 5)
    for number, word in (("BAD-1", "item"), ("BAD-2", "city")):
        row = eventually(lambda number=number: row_of(shop, number), lambda row: row[0] == "failed")
        assert word in row[2].lower()
    assert [order["orderNumber"] for order in account.orders] == ["GOOD-1"]


def test_an_order_that_failed_for_want_of_items_goes_when_they_come_within_the_hour(
    shop: Connection, account: ShipStationSimulator, asleep: ListenerProcess
) -> None:
    order_id = insert_order(shop, "LATE-1", items=[])
    eventually(lambda: row_of(shop, "LATE-1"), lambda row: row[0] == "failed")
    insert_items(shop, order_id, [("17001", 1, 100)])
    set_flag(shop, "fast_polling_interval", "1")
    assert account.wait_for_orders(1, 5)
    assert eventually(lambda: row_of(shop, "LATE-1"), lambda row: row[0] == "uploaded")


def test_a_locked_row_does_not_make_the_listener_spin_and_follows_when_it_is_free(
    dsn: str, shop: Connection, account: ShipStationSimulator, asleep: ListenerProcess
) -> None:
    switch(shop, "shipstation-upload", on=False)
    asleep.wait_status(lambda s: not s["workflows"]["shipstation-upload"]["enabled"])
    insert_order(shop, "L-1")
    with psycopg.connect(dsn) as locker:
        locker.execute("select from orders_inbox where order_number = 'L-1' for update")
        switch(shop, "shipstation-upload", on=True)
        asleep.wait_for("exists=True count=1 .* source=retry", after=asleep.mark())
        assert account.orders == []
        insert_order(shop, "L-2")
        assert account.wait_for_orders(1, 5), "another order passes the locked one"
        locker.rollback()
    assert account.wait_for_orders(2, 10)
    checks = [line for line in asleep.lines if "METRICS: workflow=upload exists=True" in line]
    assert len(checks) < 15


def test_what_was_put_aside_says_why(shop: Connection, account: ShipStationSimulator, asleep: ListenerProcess) -> None:
    switch(shop, "shipstation-upload", on=False)
    asleep.wait_status(lambda s: not s["workflows"]["shipstation-upload"]["enabled"])
    shop.execute("insert into shipped_orders (ship_date, order_number, shipstation_order_id) values ('x', 'G-1', '77')")
    for number in ("100123", "G-1", "OLD-1", "Twin-1", " TWIN-1 ", "LONG" + "x" * 60, "OK-1"):
        insert_order(shop, number)
    shop.execute("update orders_inbox set order_date = current_date - 100 where order_number = 'OLD-1'")
    switch(shop, "shipstation-upload", on=True)
    assert account.wait_for_orders(2, 5)
    expected = {
        "100123": ("synced_manual", None, None),
        "G-1": ("shipped", "77", None),
        "OLD-1": ("awaiting_shipment", None, None),
    }
    eventually(lambda: {number: row_of(shop, number) for number in expected}, lambda rows: rows == expected)
    assert "same number as row" in eventually(lambda: row_of(shop, " TWIN-1 "), lambda row: row[0] == "failed")[2]
    assert "50" in eventually(lambda: row_of(shop, "LONG" + "x" * 60), lambda row: row[0] == "failed")[2]
    assert {order["orderNumber"] for order in account.orders} == {"OK-1", "Twin-1"}
    assert asleep.wait_for("OLD-1 is not sent: held back")


def test_a_refused_order_is_tried_again_and_its_neighbours_are_not(
    shop: Connection, account: ShipStationSimulator, asleep: ListenerProcess
) -> None:
    account.inject("partial", message="the zone is unknown")
    set_flag(shop, "max_upload_attempts", "1")
    asleep.wait_status(lambda s: s["flags"]["max_upload_attempts"] == 1)
    insert_order(shop, "R-1")
    row = eventually(lambda: row_of(shop, "R-1"), lambda row: row[0] == "failed")
    assert row[2] == "the zone is unknown"
    account.clear_faults()
    shop.execute("update orders_inbox set status = 'awaiting_shipment' where order_number = 'R-1'")
    assert account.wait_for_orders(1, 5), "putting the status back asks for another try"


def test_the_budget_gathers_orders_instead_of_losing_them(
    shop: Connection, account: ShipStationSimulator, asleep: ListenerProcess
) -> None:
    set_flag(shop, "api_calls_per_hour", "3600")
    asleep.wait_status(lambda s: s["flags"]["api_calls_per_hour"] == 3600)
    shop.execute("update listener.budget set tokens = 1, refilled_at = clock_timestamp()")
    for n in range(40):
        insert_order(shop, f"B-{n}")
    assert account.wait_for_orders(40, 20)
    creates = [request for request in account.requests if request.path == CREATE]
    assert len(creates) < 20
    asleep.wait_for("source=retry")


def test_every_heartbeat_moves_polling_state(
    shop: Connection, account: ShipStationSimulator, asleep: ListenerProcess
) -> None:
    set_flag(shop, "fast_polling_interval", "1")
    moves = set()
    eventually(
        lambda: moves.add(value_of(shop, "select last_upload_check from polling_state")) or len(moves),
        lambda count: count >= 4,
    )


def test_a_hundred_passes_leave_connections_and_open_files_as_they_were(
    shop: Connection, account: ShipStationSimulator, without_sync: None, asleep: ListenerProcess
) -> None:
    def open_files() -> int:
        return len(list(Path(f"/proc/{asleep.pid}/fd").iterdir()))

    def sessions() -> int:
        query = "select count(*) from pg_stat_activity where application_name like 'listener%%'"
        return int(value_of(shop, query))

    insert_order(shop, "C-first")
    assert account.wait_for_orders(1, 5)
    wait_until_asleep(asleep)
    asleep.status()
    before = open_files(), sessions()
    for n in range(100):
        insert_order(shop, f"C-{n}")
        assert account.wait_for_orders(n + 2, 5)
    wait_until_asleep(asleep)
    assert sessions() == before[1] == 2
    assert abs(open_files() - before[0]) <= 1  # the connection that asked for the status may still be closing


def test_an_order_in_doubt_is_looked_up_before_it_is_sent_again(
    dsn: str, shop: Connection, account: ShipStationSimulator, listener_process: Callable[..., ListenerProcess]
) -> None:
    process = listener_process(dsn)
    wait_until_asleep(process)
    hold = account.hold(path=CREATE)
    insert_order(shop, "D-1")
    assert hold.arrived.wait(5)
    process.kill()
    hold.release()
    account.clear_faults()
    account.wait_for_orders(1, 1)
    listener_process(dsn).wait_for(r"Order D-1 was in doubt: accepted", 20)
    assert eventually(lambda: row_of(shop, "D-1"), lambda row: row[0] == "uploaded")
    assert len(account.order_by_number("D-1")) == 1
    assert sum(request.path == CREATE for request in account.requests) == 1


def test_every_metrics_line_has_the_shape_that_the_plans_commands_read(
    shop: Connection, account: ShipStationSimulator, asleep: ListenerProcess
) -> None:
    insert_order(shop, "M-1")
    assert account.wait_for_orders(1, 5)
    asleep.wait_for("source=notify")
    asleep.wait_for("workflow=sync")
    shape = re.compile(
        r"METRICS: workflow=((upload|xml-import) exists=(True|False) count=\d+|"
        r"sync fetched=\d+ changed=\d+ interval=120)"
        r" duration_ms=\d+\.\d\d "
        r"action=(process|skip|error) source=(notify|heartbeat|startup|reconnect|retry|manual)$"
    )
    lines = [line for line in asleep.lines if "METRICS:" in line]
    assert lines
    assert all(shape.search(line) for line in lines)
    assert not [line for line in asleep.lines if "ERROR" in line]


def test_a_backlog_is_counted_once_and_goes_batch_after_batch(
    shop: Connection, account: ShipStationSimulator, asleep: ListenerProcess
) -> None:
    set_flag(shop, "upload_batch_size", "10")
    asleep.wait_for("upload_batch_size 100 -> 10")
    with shop.transaction():
        for n in range(35):
            insert_order(shop, f"MANY-{n}")
    eventually(lambda: value_of(shop, "select count(*) from orders_inbox where status = 'uploaded'"), lambda n: n == 35)
    asleep.wait_for("Upload queue empty")
    checks = [line for line in asleep.lines if "METRICS: workflow=upload exists=True" in line]
    assert [re.search(r"count=\d+", line)[0] for line in checks] == ["count=35"]  # type: ignore[index]
    assert len([request for request in account.requests if request.path == "/orders/createorders"]) == 4
