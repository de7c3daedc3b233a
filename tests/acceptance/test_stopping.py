"""A stop loses nothing: what is under way is finished, or found by the next start."""

import signal
from collections.abc import Callable

import pytest

from listener.embedded.shipstation import ShipStationSimulator
from tests.acceptance.conftest import wait_until_asleep
from tests.support.process import ListenerProcess
from tests.support.shop import Connection, insert_order, row_of, value_of
from tests.support.wait import eventually

Start = Callable[..., ListenerProcess]

CREATE = "/orders/createorders"
LATER = "update listener.ledger set started_at = started_at - interval '1 minute', not_before = now()"


def begin_to_stop(process: ListenerProcess) -> None:
    """Ask it to end, and wait until it has heard that."""
    process._process.send_signal(signal.SIGTERM)
    process.wait_for("Stopping")


def assert_arrived_once(shop: Connection, account: ShipStationSimulator, *numbers: str) -> None:
    for number in numbers:
        row = eventually(lambda number=number: row_of(shop, number), lambda row: row[0] == "uploaded")
        assert [str(order["orderId"]) for order in account.order_by_number(number)] == [row[1]]


def test_a_stop_during_a_request_records_its_answer_and_leaves_the_next_order_to_the_next_start(
    dsn: str, shop: Connection, account: ShipStationSimulator, asleep: ListenerProcess, listener_process: Start
) -> None:
    hold = account.hold(path=CREATE)
    insert_order(shop, "STOP-1")
    assert hold.arrived.wait(5)
    insert_order(shop, "STOP-2")
    begin_to_stop(asleep)
    insert_order(shop, "STOP-3")
    with pytest.raises(AssertionError, match=r"0\.8 s passed"):
        asleep.wait_for("Stopped", 0.8)
    hold.release()
    assert asleep.wait() == 0
    assert row_of(shop, "STOP-1")[:2] == ("uploaded", str(account.orders[0]["orderId"]))
    assert value_of(shop, "select array_agg(order_key) from listener.ledger") == ["STOP-1"]
    listener_process(dsn)
    assert_arrived_once(shop, account, "STOP-1", "STOP-2", "STOP-3")
    assert [len(request.body) for request in account.requests if request.path == CREATE] == [1, 2]


def test_a_stop_while_it_asks_what_shipstation_has_loses_no_order(
    dsn: str, shop: Connection, account: ShipStationSimulator, listener_process: Start
) -> None:
    hold = account.hold(path="/orders", method="GET")
    insert_order(shop, "ASKED-1")
    process = listener_process(dsn)
    assert hold.arrived.wait(10)
    begin_to_stop(process)
    hold.release()
    assert process.wait() == 0
    assert value_of(shop, "select count(*) from listener.ledger where state in ('sending', 'unknown')") == 0
    wait_until_asleep(listener_process(dsn))
    assert_arrived_once(shop, account, "ASKED-1")


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(("when", "requests"), [("before", 2), ("after", 1)])
def test_a_second_signal_ends_it_at_once_and_the_next_start_finds_out_what_arrived(
    dsn: str,
    shop: Connection,
    account: ShipStationSimulator,
    asleep: ListenerProcess,
    listener_process: Start,
    second: signal.Signals,
    when: str,
    requests: int,
) -> None:
    hold = account.hold(path=CREATE, when=when, times=1)
    insert_order(shop, "TWICE-1")
    assert hold.arrived.wait(5)
    begin_to_stop(asleep)
    assert asleep.stop(second, timeout=3) == 128 + second
    assert value_of(shop, "select state from listener.ledger") == "sending"
    again = listener_process(dsn)
    again.wait_for("1 orders in doubt")
    if when == "before":  # it did not arrive, and time goes by in which it could
        note = "select error from listener.ledger"
        eventually(lambda: value_of(shop, note), lambda note: note == "not there yet, may still arrive")
        shop.execute(LATER)
        shop.execute("notify orders_inbox")
    assert_arrived_once(shop, account, "TWICE-1")
    hold.release()
    assert account.wait_until(lambda: all(request.status for request in account.requests), 5)
    assert_arrived_once(shop, account, "TWICE-1")
    assert sum(request.path == CREATE for request in account.requests) == requests
