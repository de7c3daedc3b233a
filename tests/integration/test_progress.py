"""The beat's one statement: what it sees, and what it must never wait for."""

import psycopg
import pytest

from listener.database import connect_work
from listener.store.progress import TRIGGERS, beat
from tests.support.shop import insert_order, value_of


def test_on_a_fresh_install_nothing_is_missing_and_nothing_pending(dsn: str) -> None:
    with connect_work(dsn, "listener test") as connection:
        seen = beat(connection)
    assert (seen.pending, seen.due, seen.oldest_id, seen.missing_triggers, seen.muted_by) == (0, 0, None, [], None)


@pytest.mark.parametrize(
    ("harm", "missing"),
    [
        ("drop trigger listener_orders_inserted on orders_inbox", ["listener_orders_inserted"]),
        ("alter table orders_inbox disable trigger listener_orders_updated", ["listener_orders_updated"]),
        (
            "create or replace function listener.ring_for_inserted_orders() returns trigger language plpgsql as "
            "$$ begin return null; end $$",
            ["listener_orders_inserted"],
        ),
    ],
)
def test_a_missing_disabled_or_emptied_trigger_is_named(dsn: str, harm: str, missing: list[str]) -> None:
    with connect_work(dsn, "listener test") as connection:
        connection.execute(harm.encode())
        assert beat(connection).missing_triggers == missing
    assert missing[0] in TRIGGERS


def test_it_counts_due_and_fresh_orders_and_moves_polling_state(dsn: str) -> None:
    with connect_work(dsn, "listener test") as connection:
        first, second = insert_order(connection, "P-1"), insert_order(connection, "P-2")
        connection.execute(
            "insert into listener.ledger (order_key, order_inbox_id, order_number, state, shipstation_key, not_before) "
            "values ('P-1', %s, 'P-1', 'waiting', 'k', now() + interval '1 hour')",
            [first],
        )
        seen = beat(connection)
        assert (seen.pending, seen.due, seen.fresh) == (2, 1, 1)
        assert (seen.oldest_id, seen.newest_id) == (second, second), "the other is not due"
        assert value_of(connection, "select last_upload_count from polling_state") == 1


def test_it_does_not_wait_for_somebody_who_holds_the_row_of_polling_state(dsn: str) -> None:
    with psycopg.connect(dsn) as holder, connect_work(dsn, "listener test") as connection:
        holder.execute("update polling_state set last_upload_count = 99")
        connection.execute("set lock_timeout = '100ms'")
        assert beat(connection).pending == 0


def test_it_names_the_stranger_who_holds_the_silence_lock(dsn: str) -> None:
    with psycopg.connect(dsn) as stranger, connect_work(dsn, "listener test") as connection:
        stranger.execute("select pg_advisory_lock(1818850164, 1)")
        assert beat(connection).muted_by == stranger.info.backend_pid


def test_without_workflow_controls_every_workflow_counts_as_on(dsn: str) -> None:
    with connect_work(dsn, "listener test") as connection:
        connection.execute("drop table workflow_controls")
        assert '"workflows" : {}' in beat(connection).config
