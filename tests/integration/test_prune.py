"""What is too old is taken away, a thousand rows at a time; what is kept for good stays."""

from collections.abc import Iterator
from datetime import timedelta

import psycopg
import pytest

from listener.bookkeeping import Bookkeeping
from listener.database import Connection
from listener.metrics import Metrics
from listener.store.prune import DAYS_KEPT, MIRROR_DAYS_KEPT, prune


@pytest.fixture
def db(dsn: str) -> Iterator[Connection]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("insert into listener.imports (source, file_id, revision, name) values ('s', 'f', 'r', 'n')")
        yield connection


INSERT = {
    "api_calls": "insert into listener.api_calls (endpoint, at) select 'GET', now() - %s * interval '1 day' {many}",
    "history": "insert into listener.history (order_key, at) select 'A-1', now() - %s * interval '1 day' {many}",
    "quarantine": "insert into listener.quarantine (import_id, reason, at) "
    "select 1, 'x', now() - %s * interval '1 day' {many}",
}


def count(db: Connection, table: str) -> int:
    row = db.execute(f"select count(*) from listener.{table}".encode()).fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize("table", DAYS_KEPT)
def test_a_line_older_than_its_days_goes_and_a_younger_one_stays(db: Connection, table: str) -> None:
    days = DAYS_KEPT[table]
    for age in (days + 0.1, days - 0.1):
        db.execute(INSERT[table].format(many="").encode(), [age])
    assert prune(db) == 1
    assert count(db, table) == 1
    assert prune(db) == 0


def test_a_thousand_lines_go_at_a_time(db: Connection) -> None:
    db.execute(INSERT["api_calls"].format(many="from generate_series(1, 1500)").encode(), [3])
    assert [prune(db), prune(db), prune(db)] == [1000, 500, 0]


def test_as_long_as_a_thousand_lines_go_every_beat_takes_some_and_then_one_an_hour(db: Connection) -> None:
    clock = [0.0]
    books = Bookkeeping(Metrics("test"), lambda: clock[0], dry_run=False)

    def left_after(now: float) -> int:
        clock[0] = now
        books.prune(db)
        return count(db, "api_calls")

    db.execute(INSERT["api_calls"].format(many="from generate_series(1, 2500)").encode(), [3])
    assert [left_after(now) for now in (0, 15, 30)] == [1500, 500, 0]
    db.execute(INSERT["api_calls"].format(many="").encode(), [3])
    assert [left_after(now) for now in (45, 3600, 3630)] == [1, 1, 0]


def test_the_mirror_forgets_what_did_not_change_for_long_whenever_it_was_made(db: Connection) -> None:
    for number, age in (("old", MIRROR_DAYS_KEPT + 1), ("young", MIRROR_DAYS_KEPT - 1)):
        db.execute(
            "insert into listener.mirror "
            "(shipstation_order_id, order_key, order_number, status, created_at, modified_at) "
            "values (%s, %s, %s, 'shipped', now() - interval '900 days', now() - %s * interval '1 day')",
            [number, number, number, age],
        )
    assert prune(db) == 1
    assert db.execute("select order_key from listener.mirror").fetchall() == [("young",)]


def test_what_rows_show_is_forgotten_with_the_orders(db: Connection) -> None:
    for number, age in (("old", MIRROR_DAYS_KEPT + 1), ("young", MIRROR_DAYS_KEPT - 1)):
        db.execute(
            "insert into listener.links (shipstation_order_id, order_inbox_id, modified_at) values (%s, 1, now() - %s)",
            [number, timedelta(days=age)],
        )
    assert prune(db) == 1
    assert db.execute("select shipstation_order_id from listener.links").fetchall() == [("young",)]


def test_receipts_and_the_ledger_are_kept_for_good(db: Connection) -> None:
    db.execute(
        "insert into listener.config_log (parameter_name, seen_at) values ('sync_interval', now() - interval '9 years')"
    )
    db.execute(
        "insert into listener.ledger (order_key, order_inbox_id, order_number, state, shipstation_key, first_seen_at)"
        " values ('A-1', 1, 'A-1', 'accepted', 'listener-A-1', now() - interval '9 years')"
    )
    db.execute("delete from listener.history")
    assert prune(db) == 0
