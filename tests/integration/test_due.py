"""What is due: the check, the settle's question and the beat agree, and the ledger keeps out what it holds."""

from collections.abc import Iterator

import pytest

from listener import bell
from listener.database import Connection, connect_work
from listener.store.inbox import COUNTED_UP_TO, inbox_has_due
from listener.store.progress import beat
from tests.support.shop import insert_order

NOTE = """
insert into listener.ledger (order_key, order_inbox_id, order_number, state, shipstation_key, not_before, row_written)
values (%s, %s, %s, %s, 'listener-key', now() + %s::interval, true)
"""


@pytest.fixture
def db(dsn: str) -> Iterator[Connection]:
    with connect_work(dsn, "listener test") as connection:
        yield connection


def due(db: Connection) -> int:
    """Return how many orders are due, by all who ask."""
    count = inbox_has_due(db)()
    assert (count > 0) == bell.ask(db, 0, [], patient=False).pending
    assert beat(db).due == count
    return count


def note(db: Connection, key: str, row_id: int, state: str, wait: str | None = None) -> None:
    db.execute(NOTE, [key, row_id, key, state, wait])


@pytest.mark.parametrize(
    ("state", "wait", "is_due"),
    [
        ("sending", None, False),
        ("unknown", None, False),
        ("unknown", "-1 hour", False),
        ("held_back", None, False),
        ("waiting", "1 hour", False),
        ("waiting", "-1 second", True),
        ("accepted", None, True),
        ("adopted", None, True),
        ("rejected", None, True),
        ("excluded", None, True),
    ],
)
def test_an_order_is_due_unless_the_ledger_holds_it(db: Connection, state: str, wait: str | None, is_due: bool) -> None:
    note(db, "A-1", insert_order(db, " a-1 "), state, wait)
    assert due(db) == is_due
    insert_order(db, "A-2")
    assert due(db) == is_due + 1, "another order is not held for it"


@pytest.mark.parametrize("state", ["sending", "unknown"])
def test_a_row_in_our_hands_is_held_under_whatever_number_the_shop_gives_it(db: Connection, state: str) -> None:
    row = insert_order(db, "A-1")
    note(db, "A-1", row, state, "-1 hour")
    db.execute("update orders_inbox set order_number = 'A-1-new' where id = %s", [row])
    assert due(db) == 0
    insert_order(db, "A-1")
    assert due(db) == 0, "nor is the old number sent for another row, while it is in doubt"


@pytest.mark.parametrize(("state", "wait"), [("waiting", "1 hour"), ("held_back", None)])
def test_a_row_that_waits_is_due_when_the_shop_gives_it_another_number(
    db: Connection, state: str, wait: str | None
) -> None:
    row = insert_order(db, "A-1")
    note(db, "A-1", row, state, wait)
    db.execute("update orders_inbox set order_number = 'A-1-new' where id = %s", [row])
    assert due(db) == 1


def test_an_order_behind_more_held_ones_than_are_counted_is_seen_by_all(db: Connection) -> None:
    db.execute("set session_replication_role = replica")  # the bell and the history say nothing here
    db.execute(
        "insert into orders_inbox (order_number, order_date, status) "
        "select 'OLD-' || n, current_date - 400, 'awaiting_shipment' from generate_series(1, %s) n",
        [COUNTED_UP_TO + 1],
    )
    db.execute(
        "insert into listener.ledger (order_key, order_inbox_id, order_number, state, shipstation_key) "
        "select order_number, id, order_number, 'held_back', order_number from orders_inbox"
    )
    assert due(db) == 0
    row = insert_order(db, "NEW-1")
    assert due(db) == 1
    seen = beat(db)
    assert (seen.pending, seen.held_back, seen.oldest_id) == (COUNTED_UP_TO, COUNTED_UP_TO, row)
