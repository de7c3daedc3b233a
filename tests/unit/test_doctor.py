"""doctor's judgement where nothing real can be broken for it, and the forms of its report."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from listener.doctor import report
from listener.doctor.findings import Finding, Severity, counted, error, info, ok, shown, warning
from listener.doctor.quoting import identifier, literal
from listener.doctor.schema import indexes_of
from listener.doctor.seen.schema import Index, Tables
from listener.doctor.seen.server import Connections, Hearing, Lock, Locks, Queue, Server, Session, SilentWriters
from listener.doctor.seen.work import Calls, Watermark
from listener.doctor.server import judge_connections, judge_hearing, judge_version
from listener.doctor.sessions import ending, judge_locks, judge_queue, judge_silent_writers, who
from listener.doctor.steering import statements_a_day
from listener.doctor.tables import judge_tables
from listener.doctor.work import judge_calls, judge_watermark
from listener.flags import Flags
from listener.locks import SILENCE_KEY

NOW = datetime(2026, 3, 1, 14, 2, 30, 123456, tzinfo=UTC)
SESSION = Session(4711, "shop", "psql", "shop", "192.0.2.7", NOW, "idle in transaction", 700.0, 650.0)
HIDDEN = Session(4711, "", "", "shop", "", None, "", None, None)
PREPARED = Session(None, "", "", "", "", None, "", None, None)


def server(version: str, number: int) -> Server:
    return Server(version, number, "shop", "shop", "db.example.com", NOW, False, False, "default")


@pytest.mark.parametrize(
    ("version", "number", "severity", "words"),
    [
        ("13.23", 130023, "error", "move to PostgreSQL 14 or newer"),
        ("14.20", 140020, "warning", "update the server to 14.21 or newer"),
        ("15.16", 150016, "ok", ""),
        ("16.11", 160011, "warning", "16.12 or newer"),
        ("17.7", 170007, "warning", "17.8 or newer"),
        ("18.1", 180001, "warning", "18.2 or newer"),
        ("18.2", 180002, "ok", ""),
        ("19.0", 190000, "ok", ""),
    ],
)
def test_an_old_server_is_told_which_release_it_needs(version: str, number: int, severity: str, words: str) -> None:
    (found,) = judge_version(server(version, number))
    assert found.severity == severity
    assert words in found.todo


def test_a_listen_that_vacuum_has_broken_is_mended_by_a_look_at_the_queue() -> None:
    fault = "could not access status of transaction 756"
    (found,) = judge_hearing(Hearing(False, "DATABASE_URL", "db.example.com", fault, "58P01"))
    assert found.severity is Severity.ERROR
    assert found.sql == ("select pg_notification_queue_usage();",)
    assert "update the server" in found.todo


def test_a_standby_is_not_told_twice() -> None:
    fault = "cannot execute LISTEN during recovery"
    assert not list(judge_hearing(Hearing(False, "DATABASE_URL", "db.example.com", fault, "25006")))


def test_a_pooled_host_is_told_its_direct_name() -> None:
    (found,) = judge_hearing(Hearing(False, "DATABASE_URL", "ep-cool-1-pooler.eu.example.com"))
    assert "with the host ep-cool-1.eu.example.com" in found.todo


@pytest.mark.parametrize(("used", "severity"), [(79, "ok"), (80, "warning"), (98, "warning"), (99, "error")])
def test_room_for_two_more_is_needed_and_a_fifth_is_left_free(used: int, severity: str) -> None:
    (found,) = judge_connections(Connections(used, 100, used, None, used, None, "shop", "shop"))
    assert found.severity == severity


def test_a_session_is_named_by_what_we_may_see_of_it() -> None:
    assert who(SESSION) == "pid 4711 (role shop, psql, 192.0.2.7)"
    assert who(HIDDEN) == "pid 4711"
    assert who(PREPARED) == "a prepared transaction"


def test_only_the_very_session_is_ended() -> None:
    assert ending(SESSION) == (
        "select pg_terminate_backend(4711) where exists (select from pg_stat_activity"
        " where pid = 4711 and backend_start = '2026-03-01 14:02:30.123456+00:00');"
    )
    assert ending(HIDDEN) == "select pg_terminate_backend(4711);"
    assert ending(PREPARED) == ""


def test_a_lock_of_a_prepared_transaction_is_named_and_ended_by_nobody() -> None:
    (found, *_) = judge_locks(Locks(None, (Lock(SILENCE_KEY, True, PREPARED),)))
    assert found.sentence.startswith("muted: a prepared transaction")
    assert found.sql == ()


def test_a_queue_that_fills_while_nobody_is_in_the_way_is_looked_at_again() -> None:
    (found,) = judge_queue(Queue(0.3, None, ()))
    assert (found.severity, found.sql) == (Severity.WARNING, ())
    working = Session(4711, "shop", "psql", "shop", "", NOW, "active", 700.0, 650.0)
    (found,) = judge_queue(Queue(0.95, None, (working,)))
    assert (found.severity, found.sql) == (Severity.ERROR, ())
    assert "end it: `select pg_terminate_backend(4711)" in found.todo


def test_a_server_without_autovacuum_is_a_warning() -> None:
    (found,) = judge_tables(Tables((), (), autovacuum=False))
    assert (found.severity, found.sql) == (Severity.WARNING, ())


def test_triggers_that_are_off_for_the_whole_server_are_an_error() -> None:
    (found,) = judge_silent_writers(SilentWriters((), (), "replica"))
    assert found.severity is Severity.ERROR


@pytest.mark.parametrize(
    ("interval", "cycle", "statements"),
    [(15, 120, 14_400), (3600, 120, 14_400), (1, 120, 95_040), (15, 86_400, 11_524)],
)
def test_what_an_idle_day_costs(interval: int, cycle: int, statements: int) -> None:
    assert statements_a_day(Flags(fast_polling_interval=interval, sync_interval=cycle)) == statements


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose clock is not UTC."""
    monkeypatch.setenv("TZ", "America/Los_Angeles")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("elsewhere")
def test_a_watermark_without_a_zone_is_utc_and_one_to_come_is_no_time_ago() -> None:
    (found,) = judge_watermark(Watermark("2026-03-01T14:00:30", 120, True, NOW))
    assert found.sentence.endswith("2026-03-01T14:00:30Z, 2 min ago")
    (found,) = judge_watermark(Watermark("2026-03-01T15:00:00Z", 120, True, NOW))
    assert (found.severity, found.sentence[-7:]) == (Severity.OK, "0 s ago")


def test_calls_long_ago_are_history() -> None:
    findings = list(judge_calls(Calls(200, 3, 17.2, 0.0, 7000.0, 200, None, 5.0)))
    assert [found.severity for found in findings] == [Severity.OK]


@pytest.mark.parametrize(
    ("name", "quoted"),
    [
        ("shop", '"shop"'),
        ('Shop\'s "own"', '"Shop\'s ""own"""'),
        ("Señor", '"Señor"'),
        ('a\nb\\c"d', 'U&"a\\+00000ab\\\\c""d"'),
        ("red\x1b[31m", 'U&"red\\+00001b[31m"'),
    ],
)
def test_a_name_is_quoted_on_one_line(name: str, quoted: str) -> None:
    assert identifier(name) == quoted


def test_a_value_is_quoted_on_one_line() -> None:
    assert literal("it's") == "'it''s'"
    assert literal("two\nlines") == "U&'two\\+00000alines'"


def test_names_from_outside_are_cut() -> None:
    assert shown("x" * 61) == "x" * 59 + "…"
    assert shown("x" * 60) == "x" * 60


def test_a_count_that_stopped_says_so() -> None:
    assert [counted(n, "order", "orders", 10) for n in (1, 2, 10)] == ["1 order", "2 orders", "10 or more orders"]


def test_the_indexes_of_our_schema_are_read_from_its_file() -> None:
    text = "create index if not exists one on listener.a (x);\ncreate index if not exists two\non listener.b (y);\n"
    shop = "create index concurrently if not exists idx on orders_inbox (z);"
    assert list(indexes_of("002.sql", text + shop)) == [Index("one", "002.sql"), Index("two", "002.sql")]


FINDINGS = [
    error("muted", "select pg_terminate_backend(1);"),
    warning("no index", "drop index odd;", files=("002_ledger.up.sql", "001_polling.up.sql")),
    error("no trigger", files=("003_notify.up.sql", "base_tables.sql", "002_ledger.up.sql")),
    info("nobody leads", "start one"),
    warning("bloated", "reindex index hot;"),
    error("deaf", todo="set LISTEN_DATABASE_URL"),
    ok("fine"),
]


def test_the_sql_ends_sessions_then_runs_each_file_once_in_order_and_vacuums_last() -> None:
    printed = report.as_sql(FINDINGS, lambda files: "".join(f"-- {file}\n" for file in files))
    assert printed.splitlines() == [
        "select pg_terminate_backend(1);",
        "drop index odd;",
        "-- base_tables.sql",
        "-- 001_polling.up.sql",
        "-- 002_ledger.up.sql",
        "-- 003_notify.up.sql",
        "reindex index hot;",
    ]
    assert report.left_for_a_person(FINDINGS) == 1


def test_where_nothing_is_to_be_mended_there_is_no_sql() -> None:
    assert report.as_sql([ok("fine"), error("deaf", todo="a setting")], lambda _: "never") == ""


def test_the_text_has_what_mends_each_finding_and_a_sum() -> None:
    text = report.as_text(FINDINGS)
    assert "         select pg_terminate_backend(1);" in text
    assert "`listener install --base-tables`" in text
    assert "to do: set LISTEN_DATABASE_URL" in text
    assert "\n3 errors, 2 warnings\n" in text
    assert report.as_text([ok("fine"), info("so so")]).endswith("\nnothing is wrong")
    assert "no errors, 1 warning" in report.as_text([Finding(Severity.WARNING, "late")])


def test_a_statement_is_broken_where_it_may_be() -> None:
    lines = report.as_text([error("x", ending(SESSION))]).splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert "'2026-03-01 14:02:30.123456+00:00'" in "\n".join(lines)
    assert " ".join(line.strip() for line in lines[1:-3]) == ending(SESSION)
