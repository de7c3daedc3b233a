"""`listener run --dry-run`: it says what would go and what would not, sends nothing, and changes no order."""

from collections.abc import Callable

from listener.embedded.shipstation import ShipStationSimulator
from tests.support.process import ListenerProcess
from tests.support.shop import Connection, insert_order, row_of, value_of
from tests.support.wait import eventually

CREATE = "/orders/createorders"


def test_a_dry_run_says_what_would_go_and_what_not_and_why(
    dsn: str, shop: Connection, account: ShipStationSimulator, listener_process: Callable[..., ListenerProcess]
) -> None:
    account.user.create_manual("TAKEN-1")
    insert_order(shop, "GO-1", items=[("17001", 2, 1999)])
    insert_order(shop, "OLD-1")
    shop.execute("update orders_inbox set order_date = current_date - 40 where order_number = 'OLD-1'")
    insert_order(shop, "100123")
    insert_order(shop, "taken-1")
    insert_order(shop, "HALF-1")  # of a batch that was refused as a whole, to be tried in smaller ones
    shop.execute(
        "insert into listener.ledger (order_key, order_inbox_id, order_number, state, shipstation_key, batch_limit,"
        " not_before) select order_number, id, order_number, 'waiting', 'key', 1, now() from orders_inbox"
        " where order_number = 'HALF-1'"
    )
    numbers = ("GO-1", "OLD-1", "100123", "taken-1", "HALF-1")
    before = {number: row_of(shop, number) for number in numbers}
    shop.execute("insert into listener.home (database, system_identifier, host) values ('shop', '', 'db.example.com')")
    process = listener_process(dsn, "run", "--dry-run")
    lines = eventually(lambda: process.output, lambda lines: any("waiting for more" in line for line in lines))
    assert "would send GO-1: 2 pieces, 39.98, to Springfield IL US" in lines
    assert any(line.startswith("would hold back OLD-1: held back: 40 days old") for line in lines)
    assert any(line.startswith("would not send 100123:") for line in lines)
    assert any(line.startswith("would not send taken-1: it is at ShipStation already") for line in lines)
    assert any(line.startswith("would send HALF-1:") for line in lines)
    assert "2 would go, 3 would not; waiting for more, Ctrl-C ends it" in lines
    insert_order(shop, "GO-2")
    eventually(lambda: process.output, lambda lines: any(line.startswith("would send GO-2") for line in lines))
    assert process.stop() == 0
    assert sum(line.startswith("would send GO-1") for line in process.output) == 1
    assert {number: row_of(shop, number) for number in numbers} == before
    process.wait_for("WARNING .*A run would hold all orders here: the database is")
    assert value_of(shop, "select host from listener.home") == "db.example.com", "it held nothing, and moved nothing"
    assert value_of(shop, "select array_agg(order_key || ' ' || state) from listener.ledger") == ["HALF-1 waiting"]
    assert not [request for request in account.requests if request.path == CREATE]


def test_a_dry_run_does_not_stand_by_for_a_real_one(
    dsn: str, asleep: ListenerProcess, listener_process: Callable[..., ListenerProcess]
) -> None:
    process = listener_process(dsn, "run", "--dry-run")
    assert process.wait() == 2
    assert "another listener runs on this database" in process.lines[-1]
