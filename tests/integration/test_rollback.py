"""Switching parts off with SQL alone: in force at once, whoever holds a lock, and back again."""

from collections.abc import Callable

import psycopg
import pytest
from click.testing import CliRunner
from psycopg.conninfo import make_conninfo

from listener.cli import schema
from listener.errors import Fatal
from listener.install import FLAGS_BACK, ROLLBACKS, UNINSTALL, flags_back, install, rollback, sql_dir, uninstall
from listener.locks import LEADER_KEY
from tests.support.bell import Connection, hearing, holding
from tests.support.catalog import catalog
from tests.support.psql import run_psql

TRIGGERS = """
select count(*) from pg_trigger t join pg_proc p on p.oid = t.tgfoid
where tgrelid in ('orders_inbox'::regclass, 'configuration_params'::regclass, 'workflow_controls'::regclass)
  and p.pronamespace = 'listener'::regnamespace
"""
ADD = "insert into orders_inbox (order_number, order_date, status) values (%s, '2024-05-01', 'awaiting_shipment')"


def by_psql(url: str, file: str) -> None:
    done = run_psql(url, file)
    assert (done.returncode, done.stderr) == (0, "")


def by_the_program(url: str, file: str) -> None:
    rollback(url, next(what for what, name in ROLLBACKS.items() if name == file))


both_ways = pytest.mark.parametrize("run", [by_psql, by_the_program])
Run = Callable[[str, str], None]


def back_by_psql(url: str) -> None:
    by_psql(url, FLAGS_BACK)


both_ways_back = pytest.mark.parametrize("back", [back_by_psql, flags_back])
Back = Callable[[str], object]


def rings(url: str, number: str) -> bool:
    """Whether a new order rings while a leader sleeps."""
    with hearing(url, "orders_inbox") as bell, holding(url, LEADER_KEY), psycopg.connect(url) as writer:
        writer.execute(ADD, [number])
        writer.commit()
        return bell.heard() == [""]


def values(connection: Connection) -> dict[str, str]:
    rows = connection.execute("""select parameter_name, value from configuration_params
                                 where category = 'Polling' and sku is null""")
    return dict(rows.fetchall())


@both_ways
def test_the_bells_rollback_leaves_no_trace_of_it(production_dsn: str, run: Run) -> None:
    for file in ("001_polling.up.sql", "002_ledger.up.sql"):
        by_psql(production_dsn, file)
    before = catalog(production_dsn)
    install(production_dsn)
    assert rings(production_dsn, "A-1")
    for _ in range(2):
        run(production_dsn, "rollback/notify.sql")
        assert catalog(production_dsn) == before
        with psycopg.connect(production_dsn, autocommit=True) as writer:
            writer.execute("update orders_inbox set notes = 'still here'")
            writer.execute("update workflow_controls set enabled = false")


def test_the_bells_rollback_and_its_down_file_do_the_same() -> None:
    texts = [
        (sql_dir() / file).read_text().split("set search_path", 1)[1]
        for file in ("rollback/notify.sql", "003_notify.down.sql")
    ]
    assert texts[0] == texts[1]


def test_the_rollback_of_everything_is_the_three_down_files(dsn: str) -> None:
    whole, *parts = (
        (sql_dir() / file).read_text().split("set search_path", 1)[1] for file in ("rollback/all.sql", *UNINSTALL)
    )
    assert whole == "set search_path".join(parts), "copy the three into rollback/all.sql again, from search_path on"


def test_the_bell_is_off_at_once_while_somebody_holds_the_table(dsn: str) -> None:
    impatient = make_conninfo(dsn, options="-c listener.lock_tries=1")
    said: list[str] = []
    with psycopg.connect(dsn) as reader, psycopg.connect(dsn, autocommit=True) as other:
        reader.execute("select * from orders_inbox")
        rollback(impatient, "notify", tell=said.append)
        assert [
            line
            for line in said
            if line.startswith("warning: the bell is off") and f"pid {reader.info.backend_pid}, user" in line
        ]
        assert not rings(dsn, "A-1")
        assert other.execute(TRIGGERS).fetchone() == (2,)  # those of the other tables are gone
        reader.rollback()
        rollback(dsn, "notify", tell=said.append)
        assert other.execute(TRIGGERS).fetchone() == (0,)
    assert len(said) == 1


def test_an_uninstall_that_cannot_finish_says_so_and_finishes_later(dsn: str) -> None:
    impatient = make_conninfo(dsn, options="-c listener.lock_tries=1")
    with psycopg.connect(dsn) as reader:
        reader.execute("select * from orders_inbox")
        with pytest.raises(Fatal, match="nothing is taken away while triggers of the listener stand on orders_inbox"):
            uninstall(impatient)
        assert not rings(dsn, "A-1")
    uninstall(dsn)
    with psycopg.connect(dsn) as connection:
        assert connection.execute("select to_regnamespace('listener')").fetchone() == (None,)


def test_an_install_brings_the_bell_back(dsn: str) -> None:
    impatient = make_conninfo(dsn, options="-c listener.lock_tries=1")
    with psycopg.connect(dsn) as reader:
        reader.execute("select * from orders_inbox")
        rollback(impatient, "notify")  # these triggers are left, with empty functions
        assert not rings(dsn, "A-1")
    install(dsn)
    assert rings(dsn, "A-2")
    rollback(dsn, "notify")
    install(dsn)
    assert rings(dsn, "A-3")


def test_an_install_rings_for_the_orders_of_the_gap(dsn: str) -> None:
    rollback(dsn, "notify")
    with hearing(dsn, "orders_inbox") as bell:
        install(dsn)
        assert bell.heard() == [""]


@both_ways
def test_the_flags_rollback_puts_the_slow_values_in_force(dsn: str, run: Run) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("delete from configuration_params where parameter_name = 'sync_interval'")
        before = values(connection)
        with hearing(dsn, "configuration_params") as flags:
            for _ in range(2):
                run(dsn, "rollback/flags.sql")
                slow = {"fast_polling_enabled": "false", "fast_polling_interval": "300", "sync_interval": "300"}
                assert values(connection) == {**before, **slow}
            assert '{"parameter_name" : "fast_polling_enabled"}' in flags.heard()
        assert connection.execute(
            "select count(*) from configuration_params where category = 'Polling'"
        ).fetchone() == (11,)


SLOW_BY_HAND = """
update configuration_params set value = '300' where parameter_name = 'sync_interval';
update configuration_params set value = '20' where parameter_name = 'fast_polling_interval'
"""


@both_ways_back
def test_the_flags_come_back_as_they_were(dsn: str, back: Back) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(SLOW_BY_HAND)
        connection.execute("delete from configuration_params where parameter_name = 'fast_polling_enabled'")
        before = values(connection)
        for _ in range(2):  # the second rollback finds its own values, and must not take them for what was there
            rollback(dsn, "flags")
        assert values(connection) != before
        for _ in range(2):
            back(dsn)
            assert values(connection) == before


def test_what_was_set_after_the_flags_rollback_stays(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        rollback(dsn, "flags")
        connection.execute("update configuration_params set value = '60' where parameter_name = 'sync_interval'")
        flags_back(dsn)
        assert values(connection)["sync_interval"] == "60"
        assert values(connection)["fast_polling_interval"] == "15"


@both_ways_back
def test_the_flags_rollback_and_its_reverse_work_without_the_listeners_own_schema(
    production_dsn: str, back: Back
) -> None:
    rollback(production_dsn, "flags")
    with psycopg.connect(production_dsn, autocommit=True) as connection:
        slow = {"fast_polling_enabled": "false", "fast_polling_interval": "300", "sync_interval": "300"}
        assert values(connection) == slow
        back(production_dsn)
        assert values(connection) == {
            "fast_polling_enabled": "true",
            "fast_polling_interval": "15",
            "sync_interval": "120",
        }


def test_the_flags_rollback_leaves_rows_of_other_categories_alone(dsn: str) -> None:
    others = "insert into configuration_params (category, parameter_name, value) values ('Old', 'sync_interval', '7')"
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(others)
        rollback(dsn, "flags")
        assert connection.execute("select value from configuration_params where category = 'Old'").fetchall() == [
            ("7",)
        ]


WAYS_BACK = {"flags": "`listener rollback flags --back`", "notify": "`listener install`", "all": "`listener install`"}


@pytest.mark.parametrize("what", sorted(ROLLBACKS))
def test_the_command_runs_the_file_or_only_prints_it(dsn: str, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", dsn)
    before = catalog(dsn)
    printed = CliRunner().invoke(schema.rollback, [what, "--print"])
    assert (sql_dir() / ROLLBACKS[what]).read_text() in printed.stdout
    assert catalog(dsn) == before
    done = CliRunner().invoke(schema.rollback, [what])
    assert done.exit_code == 0
    assert done.stdout.splitlines()[0] == f"applied sql/rollback/{what}.sql"
    assert WAYS_BACK[what] in done.stdout


def test_the_command_takes_the_flags_rollback_back_and_no_other(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", dsn)
    with psycopg.connect(dsn, autocommit=True) as connection:
        before = values(connection)
        rollback(dsn, "flags")
        printed = CliRunner().invoke(schema.rollback, ["flags", "--back", "--print"])
        assert (sql_dir() / FLAGS_BACK).read_text() in printed.stdout
        done = CliRunner().invoke(schema.rollback, ["flags", "--back"])
        assert (done.exit_code, done.stdout) == (0, "applied sql/rollback/flags_back.sql\n")
        assert values(connection) == before
    refused = CliRunner().invoke(schema.rollback, ["notify", "--back"])
    assert refused.exit_code == 2
    assert "`listener install`" in refused.stderr


def test_the_bells_rollback_is_no_error_where_nothing_is_installed(production_dsn: str) -> None:
    before = catalog(production_dsn)
    by_psql(production_dsn, "rollback/notify.sql")
    assert catalog(production_dsn) == before
