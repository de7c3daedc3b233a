"""The figures of each minute as the database keeps them."""

from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from listener.database import Connection
from listener.minutes import Figures, Minute, columns_of
from listener.store.minutes import keep_minutes, read_minutes

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
EVERYTHING = Figures(
    **{each.name: {"upload": 1.5, "sync": 2} if each.default_factory is dict else 3 for each in fields(Figures)}
)


@pytest.fixture
def db(dsn: str) -> Iterator[Connection]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield connection


def minute(after: int, process: str = "p", **given: Any) -> Minute:
    return Minute(NOON + timedelta(minutes=after), process, Figures(**given))


def read_all(db: Connection) -> list[Minute]:
    return read_minutes(db, NOON, NOON + timedelta(days=1))


def test_the_table_has_a_column_for_every_figure_and_none_besides(db: Connection) -> None:
    query = "select attname from pg_attribute where attrelid = 'listener.minutes'::regclass and attnum > 0"
    assert {name for (name,) in db.execute(query)} == set(columns_of(minute(0)))


def test_what_is_read_is_what_was_written(db: Connection) -> None:
    written = [
        Minute(NOON, "p", EVERYTHING, {"upload": 1.25}, {"upload": 48.75}),
        minute(1, "p"),
        minute(1, "q", missed=2),
    ]
    keep_minutes(db, written)
    assert read_all(db) == written


def test_a_minute_that_is_there_stays_as_it_is(db: Connection) -> None:
    keep_minutes(db, [minute(0, missed=1)])
    keep_minutes(db, [minute(0, missed=9), minute(1)])
    assert [each.figures.missed for each in read_all(db)] == [1, 0]


def test_no_minute_is_no_row(db: Connection) -> None:
    keep_minutes(db, [])
    assert read_all(db) == []


def test_minutes_are_read_from_a_beginning_to_before_an_end(db: Connection) -> None:
    keep_minutes(db, [minute(after) for after in range(5)])
    found = read_minutes(db, NOON + timedelta(minutes=1), NOON + timedelta(minutes=3))
    assert [each.minute for each in found] == [NOON + timedelta(minutes=1), NOON + timedelta(minutes=2)]


def test_a_table_of_an_older_version_takes_what_it_has_columns_for(db: Connection) -> None:
    db.execute("alter table listener.minutes drop column missed, drop column wakes")
    keep_minutes(db, [minute(0, missed=1, error_lines=2)])
    (found,) = read_all(db)
    assert (found.figures.missed, found.figures.error_lines) == (0, 2)
