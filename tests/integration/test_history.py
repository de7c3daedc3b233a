"""The ledger's history: a line each time that an order's state or error changed, written by the database itself."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.support.bell import Connection


@pytest.fixture
def session(dsn: str) -> Iterator[Connection]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield connection


ENTER = """
insert into listener.ledger as l (order_key, order_inbox_id, order_number, state, shipstation_key, epoch)
values (%s, 1, %s, %s, 'k', 3) on conflict (order_key) do update set state = excluded.state
"""


def history(session: Connection) -> list[tuple[Any, ...]]:
    return session.execute(
        "select order_key, state, epoch, http_status, note from listener.history order by id"
    ).fetchall()


def test_every_state_of_an_order_is_kept_in_order(session: Connection) -> None:
    session.execute(ENTER, ["A-1", "a-1", "sending"])
    session.execute(ENTER, ["A-1", "a-1", "unknown"])
    session.execute("update listener.ledger set state = 'accepted', http_status = 200, epoch = 4")
    assert history(session) == [
        ("A-1", "sending", 3, None, None),
        ("A-1", "unknown", 3, None, None),
        ("A-1", "accepted", 4, 200, None),
    ]


def test_a_new_error_is_kept_and_a_mere_look_is_not(session: Connection) -> None:
    session.execute(ENTER, ["A-1", "a-1", "unknown"])
    session.execute("update listener.ledger set looks = looks + 1, not_before = now()")
    session.execute("update listener.ledger set error = 'no answer', http_status = 502")
    session.execute("update listener.ledger set error = 'no answer', looks = looks + 1")
    assert history(session) == [("A-1", "unknown", 3, None, None), ("A-1", "unknown", 3, 502, "no answer")]


def test_each_order_of_a_batch_has_its_own_line(session: Connection) -> None:
    for number in ("A-1", "A-2", "A-3"):
        session.execute(ENTER, [number, number, "sending"])
    session.execute("update listener.ledger set state = 'accepted' where order_key <> 'A-2'")
    assert sorted(line[:2] for line in history(session)[3:]) == [("A-1", "accepted"), ("A-3", "accepted")]
