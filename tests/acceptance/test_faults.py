"""Faults between us, the database and ShipStation that must cost no order, no second order, and no spinning."""

import psycopg

from listener.embedded.shipstation import Fault, ShipStationSimulator
from tests.acceptance.conftest import wait_until_asleep
from tests.support.process import ListenerProcess
from tests.support.shop import Connection, insert_order, row_of, set_flag, switch, value_of
from tests.support.wait import eventually

CREATE = "/orders/createorders"


def checks(process: ListenerProcess) -> int:
    return int(process.status()["workflows"]["shipstation-upload"]["checks"])


def test_a_work_session_that_is_ended_while_nobody_uses_it_is_missed_at_once(
    shop: Connection, account: ShipStationSimulator, asleep: ListenerProcess
) -> None:
    eventually(lambda: checks(asleep), lambda count: count >= 2)  # the first beat is over: from here on it is idle
    wait_until_asleep(asleep)
    shop.execute("select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'listener % work'")
    asleep.wait_for(r"Leading \(epoch 2", 5)  # a ping would come after 15 s
    insert_order(shop, "S-1")
    assert account.wait_for_orders(1, 5)


def test_a_journal_that_cannot_be_written_does_not_lose_the_answer(
    dsn: str, shop: Connection, account: ShipStationSimulator, asleep: ListenerProcess
) -> None:
    hold = account.hold(path=CREATE)
    insert_order(shop, "J-1")
    assert hold.arrived.wait(5)
    with psycopg.connect(dsn) as locker:
        locker.execute("lock table listener.api_calls in share mode")
        hold.release()
        assert eventually(lambda: row_of(shop, "J-1"), lambda row: row[0] == "uploaded")
    assert value_of(shop, "select state from listener.ledger") == "accepted"


def test_an_order_that_was_refused_and_then_cancelled_by_the_shop_wakes_nobody(
    shop: Connection, account: ShipStationSimulator, asleep: ListenerProcess
) -> None:
    account.inject("partial", message="not today")
    insert_order(shop, "C-1")
    eventually(lambda: value_of(shop, "select state from listener.ledger"), lambda state: state == "waiting")
    shop.execute("update orders_inbox set status = 'cancelled'")
    shop.execute("update listener.ledger set not_before = now() + interval '0.3 seconds'")
    account.clear_faults()
    insert_order(shop, "C-2")
    assert account.wait_for_orders(1, 5)
    eventually(lambda: value_of(shop, "select not_before < now() from listener.ledger where order_key = 'C-1'"))
    wait_until_asleep(asleep)
    before = checks(asleep)
    set_flag(shop, "fast_polling_interval", "1")
    eventually(lambda: checks(asleep), lambda now: now >= before + 2)
    assert checks(asleep) <= before + 5


def test_whatever_words_shipstation_uses_the_next_order_goes(
    shop: Connection, account: ShipStationSimulator, asleep: ListenerProcess
) -> None:
    set_flag(shop, "max_upload_attempts", "1")
    asleep.wait_status(lambda status: status["flags"]["max_upload_attempts"] == 1)
    half_a_pair = '{"results": [{"orderKey": "listener-N-3", "success": false, "errorMessage": "bad \\ud83d"}]}'
    faults = {
        "N-1": {"kind": "partial", "message": "a \x00 in it"},
        "N-2": {"kind": "partial", "message": "x" * 5000},
        "N-3": {"kind": "answer", "path": CREATE, "status": 200, "body": half_a_pair},
    }
    for number, fault in faults.items():
        account.inject(Fault(**fault))
        insert_order(shop, number)
        reason = eventually(lambda number=number: row_of(shop, number), lambda row: row[0] == "failed")[2]
        assert 0 < len(reason) <= 500
        account.clear_faults()
    insert_order(shop, "N-4")
    assert account.wait_for_orders(1, 5)


def test_a_lock_on_the_switches_does_not_switch_a_paused_workflow_on(
    dsn: str, shop: Connection, account: ShipStationSimulator, asleep: ListenerProcess
) -> None:
    switch(shop, "shipstation-upload", on=False)
    asleep.wait_status(lambda status: not status["workflows"]["shipstation-upload"]["enabled"])
    insert_order(shop, "P-1")
    with psycopg.connect(dsn) as locker:
        locker.execute("lock table workflow_controls in access exclusive mode")
        set_flag(shop, "sync_interval", "300")
        asleep.wait_for("refused a config statement")
    set_flag(shop, "sync_interval", "301")
    status = asleep.wait_status(lambda status: status["flags"]["sync_interval"] == 301)
    assert not status["workflows"]["shipstation-upload"]["enabled"]
    assert account.orders == []


def test_an_order_that_is_held_back_does_not_make_the_listener_unready(
    shop: Connection, account: ShipStationSimulator, asleep: ListenerProcess
) -> None:
    insert_order(shop, "OLD-1", status="on_hold")
    shop.execute("update orders_inbox set order_date = current_date - 60")
    shop.execute("update orders_inbox set status = 'awaiting_shipment'")
    asleep.wait_for("OLD-1 is not sent: held back")
    set_flag(shop, "fast_polling_interval", "1")
    seen = asleep.wait_status(lambda status: status["held_back"] == 1)
    assert (seen["pending"], seen["oldest_pending_seconds"]) == (1, 0)
    assert asleep.status("/health/ready")["ready"] is True


def test_a_refused_key_stops_the_upload_and_says_so(
    shop: Connection, account: ShipStationSimulator, asleep: ListenerProcess
) -> None:
    account.inject("answer", path=CREATE, status=401, body="{}")
    for number in range(5):
        insert_order(shop, f"K-{number}")
    asleep.wait_for("Backing off 60s after error #1")
    asleep.wait_status(lambda status: any("SHIPSTATION_API_KEY" in reason for reason in status["degraded"]))
    assert sum(request.path == CREATE for request in account.requests) == 1
    assert value_of(shop, "select max(attempts) from listener.ledger") == 0
