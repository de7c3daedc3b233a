"""The figures of each minute as the database keeps them, and who writes them when."""

from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from listener.database import Connection
from listener.events import Beaten, BeatFailed, Done, Job
from listener.minutes import POLLING_STATE, Figures, Minute, columns_of
from listener.store.minutes import keep_minutes, read_minutes
from listener.store.prune import MINUTE_DAYS_KEPT, prune
from tests.support.leading import Leading
from tests.support.shop import insert_order, value_of

LATELY = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(hours=2)
"""Too old, and the first beat would prune it away."""

EVERYTHING = Figures(
    **{each.name: {"upload": 1.5, "sync": 2} if each.default_factory is dict else 3 for each in fields(Figures)}
)


@pytest.fixture
def db(dsn: str) -> Iterator[Connection]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield connection


def minute(after: int, process: str = "p", **given: Any) -> Minute:
    return Minute(LATELY + timedelta(minutes=after), process, Figures(**given))


def read_all(db: Connection) -> list[Minute]:
    return read_minutes(db, LATELY, LATELY + timedelta(days=1))


def test_the_table_has_a_column_for_every_figure_and_none_besides(db: Connection) -> None:
    query = "select attname from pg_attribute where attrelid = 'listener.minutes'::regclass and attnum > 0"
    assert {name for (name,) in db.execute(query)} == set(columns_of(minute(0)))


def test_what_is_read_is_what_was_written(db: Connection) -> None:
    written = [
        Minute(LATELY, "p", EVERYTHING, {"upload": 1.25}, {"upload": 48.75}),
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
    found = read_minutes(db, LATELY + timedelta(minutes=1), LATELY + timedelta(minutes=3))
    assert [each.minute for each in found] == [LATELY + timedelta(minutes=1), LATELY + timedelta(minutes=2)]


def test_a_table_of_an_older_version_takes_what_it_has_columns_for(db: Connection) -> None:
    db.execute("alter table listener.minutes drop column missed, drop column wakes")
    keep_minutes(db, [minute(0, missed=1, error_lines=2)])
    (found,) = read_all(db)
    assert (found.figures.missed, found.figures.error_lines) == (0, 2)


def test_minutes_are_kept_for_two_weeks(db: Connection) -> None:
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    ages = [timedelta(days=MINUTE_DAYS_KEPT, minutes=2), timedelta(days=MINUTE_DAYS_KEPT) - timedelta(minutes=2)]
    keep_minutes(db, [Minute(now - age, "p", Figures()) for age in ages])
    assert prune(db) == 1
    (left,) = db.execute("select minute from listener.minutes").fetchall()
    assert left == (now - ages[1],)


@pytest.fixture
def leading(dsn: str) -> Iterator[Leading]:
    leading = Leading(dsn, LATELY)
    yield leading
    leading.session.close(busy=False)


@pytest.mark.parametrize(("job", "event"), [(Job.BEAT, Beaten), (Job.PING, Done)])
def test_the_beat_writes_the_minutes_that_are_over_and_so_does_a_ping(
    db: Connection, leading: Leading, job: Job, event: type
) -> None:
    leading.pass_minutes(2)
    leading.metrics.missed()
    assert isinstance(leading.run(job), event)
    assert [(each.minute, each.process, each.figures.missed) for each in read_all(db)] == [
        (LATELY, "listener p work", 1),
        (LATELY + timedelta(minutes=1), "listener p work", 1),
    ]
    assert isinstance(leading.run(job), event)
    assert len(read_all(db)) == 2


def test_a_beat_that_fails_loses_no_minute_and_is_counted(db: Connection, leading: Leading) -> None:
    leading.pass_minutes(1)
    db.execute("alter table listener.minutes rename to elsewhere")
    for job in (Job.BEAT, Job.PING):
        assert isinstance(leading.run(job), BeatFailed), "and holds nothing up"
    db.execute("alter table listener.elsewhere rename to minutes")
    leading.pass_minutes(1)
    leading.run(Job.BEAT)
    first, second = read_all(db)
    assert (first.figures.missed, second.figures.missed) == (1, 1)
    assert (second.figures.steps, second.figures.errors) == ({"upload": 1}, {"upload": 2})


def test_a_clean_end_writes_the_minute_under_way_and_a_crash_loses_no_other(db: Connection, leading: Leading) -> None:
    leading.pass_minutes(1)
    leading.run(Job.BEAT)
    leading.metrics.missed()
    assert len(read_all(db)) == 1, "what a crash leaves"
    leading.session.close(busy=False)
    assert [each.figures.missed for each in read_all(db)] == [1, 1]
    assert value_of(db, "select holder from listener.leader") is None


def test_a_dry_run_writes_none(db: Connection, dsn: str) -> None:
    leading = Leading(dsn, LATELY, dry_run=True)
    leading.pass_minutes(1)
    leading.run(Job.BEAT)
    leading.session.close(busy=False)
    assert read_all(db) == []


def test_beats_are_checks_and_moves_of_polling_state_unless_somebody_holds_its_row(
    db: Connection, dsn: str, leading: Leading
) -> None:
    insert_order(db, "M-1")
    leading.run(Job.BEAT)
    leading.now += timedelta(seconds=15)
    with psycopg.connect(dsn) as holder:
        holder.execute("select from polling_state for update")
        leading.run(Job.BEAT)
    leading.now += timedelta(seconds=15)
    leading.run(Job.BEAT)
    leading.pass_minutes(1)
    leading.run(Job.BEAT)
    (minute,) = read_all(db)
    assert minute.figures.checks == {"upload heartbeat process": 3}
    assert minute.figures.steps == {"upload": 3}
    assert minute.figures.gap_seconds_max == {"upload": 15, POLLING_STATE: 30}
