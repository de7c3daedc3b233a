"""Verifying: everything that is missing is named at once, by psql and by the command alike."""

import json
import subprocess
from typing import LiteralString

import psycopg
import pytest
from click.testing import CliRunner, Result
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from listener import locks
from listener.cli import schema
from listener.verify import verify
from tests.support.catalog import catalog
from tests.support.psql import run_psql


def by_psql(url: str) -> subprocess.CompletedProcess[str]:
    return run_psql(url, "verify.sql")


def by_command(url: str, *options: str) -> Result:
    return CliRunner(env={"DATABASE_URL": url}).invoke(schema.verify, options)


def test_after_an_install_all_is_well(dsn: str) -> None:
    before = catalog(dsn)
    with psycopg.connect(dsn) as connection:
        connection.execute("""insert into orders_inbox (order_number, order_date, status)
                              values ('A-1', '2024-05-01', 'shipped'), ('A-2', '2024-05-01', 'shipped')""")
    done = by_psql(dsn)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.endswith("NOTICE:  ok\n")
    told = by_command(dsn)
    assert told.exit_code == 0
    *checks, status = told.stdout.splitlines()
    assert all(line.startswith("ok    ") for line in checks)
    assert status == "      2 orders are shipped"
    assert "fast_polling_enabled=true fast_polling_interval=15 sync_interval=120" in told.stdout
    assert catalog(dsn) == before


OTHER_INDEX = """
drop index idx_orders_inbox_awaiting;
create index idx_orders_inbox_awaiting on orders_inbox (status) where status = 'pending'
"""
OTHER_FORM = """
drop index idx_orders_inbox_key; create index idx_orders_inbox_key on orders_inbox (upper(order_number))
"""
EDITED = """
create or replace function listener.tell_flags() returns trigger language plpgsql as 'begin return null; end'
"""
OTHER_KEY = """
do $$ begin
    execute replace(pg_get_functiondef('listener.ring_for_inserted_orders'::regproc), '1818850164, 1', '1818850164, 9');
end $$
"""
BREAKAGES = [
    ("drop table shipped_items", "missing: shipped_items; run sql/base_tables.sql"),
    ("alter table polling_state drop column last_xml_check", "missing: last_xml_check;"),
    ("delete from polling_state", "polling_state has exactly one row"),
    ("alter table polling_state drop constraint single_row; insert into polling_state values (2)", "it has 2;"),
    ("drop index idx_orders_inbox_awaiting", "index idx_orders_inbox_awaiting"),
    (OTHER_INDEX, "index idx_orders_inbox_awaiting"),
    ("drop index idx_orders_inbox_pending", "index idx_orders_inbox_pending"),
    (
        "update pg_index set indisvalid = false where indexrelid = 'idx_orders_inbox_pending'::regclass",
        "index idx_orders_inbox_pending",
    ),
    ("drop index idx_orders_inbox_key", "index idx_orders_inbox_key"),
    (OTHER_FORM, "index idx_orders_inbox_key"),
    (
        "update pg_index set indisvalid = false where indexrelid = 'idx_shipped_orders_key'::regclass",
        "index idx_shipped_orders_key",
    ),
    (
        "delete from configuration_params where parameter_name in ('idle_after', 'sync_interval')",
        "sync_interval, idle_after;",
    ),
    ("update configuration_params set sku = '1' where parameter_name = 'idle_after'", "sku NULL: idle_after;"),
    ("alter table listener.ledger drop column owner", "missing: column owner of ledger; run sql/002_ledger.up.sql"),
    ("delete from workflow_controls where workflow_name = 'xml-import'", "workflow_controls: xml-import;"),
    ("drop table listener.config_log", "missing: config_log; run sql/002_ledger.up.sql"),
    ("delete from listener.budget", "the one row of leader, budget or mirror_state"),
    ("drop trigger listener_flags_deleted on configuration_params", "missing or disabled: listener_flags_deleted;"),
    (
        "alter table orders_inbox disable trigger listener_orders_updated",
        "missing or disabled: listener_orders_updated;",
    ),
    (EDITED, "missing or altered: tell_flags;"),
    (OTHER_KEY, "they do not in ring_for_inserted_orders;"),
]


@pytest.mark.parametrize(("breakage", "named"), BREAKAGES)
def test_what_is_broken_is_named(dsn: str, breakage: LiteralString, named: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(breakage)
    done = by_psql(dsn)
    assert done.returncode == 3
    assert named in done.stderr
    told = by_command(dsn)
    assert told.exit_code == 1
    assert [line for line in told.stdout.splitlines() if line.startswith("NO    ") and named in line]


def test_all_that_is_missing_is_named_in_one_error(empty_dsn: str) -> None:
    error = by_psql(empty_dsn).stderr
    assert error.count("ERROR:") == 1
    told = by_command(empty_dsn)
    assert told.exit_code == 1
    missing = [line for line in told.stdout.splitlines() if line.startswith("NO    ")]
    assert len(missing) == error.count(": NO. ") + 1  # and the keys, which the program alone can compare
    assert len(missing) == len(told.stdout.splitlines()) - 1  # no flag has a bad value
    assert all(word in error for word in ("orders_inbox", "idx_orders_inbox_pending", "statement_timeout is 15s: NO"))


def test_the_time_limit_is_looked_at_as_a_session_gets_it(dsn: str) -> None:
    name = sql.Identifier(str(conninfo_to_dict(dsn)["dbname"]))
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            sql.SQL("alter role current_user in database {} set statement_timeout = '1min'").format(name)
        )
    assert "a new session gets 60000 ms;" in by_psql(dsn).stderr
    assert "a new session gets 60000 ms;" in by_command(dsn).stdout
    assert by_psql(make_conninfo(dsn, options="-c statement_timeout=15s")).returncode == 0


def test_triggers_with_other_keys_than_the_programs_are_named(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert verify(dsn).ok
    monkeypatch.setattr(locks, "LEADER_KEY", 9)
    assert [check.check for check in verify(dsn).checks if not check.ok] == [
        "the keys in the triggers are those of this program"
    ]


SECOND_ROW = """
insert into configuration_params (category, parameter_name, value) values ('Polling', 'sync_interval', '60')
"""


def test_a_flag_that_would_be_refused_is_named_with_its_range_and_so_is_one_that_stands_twice(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute("update configuration_params set value = '0' where parameter_name = 'fast_polling_interval'")
        connection.execute(SECOND_ROW)
    (fault,) = [check for check in verify(dsn).checks if not check.ok]
    assert fault.check == "the flags have one row each, and values in their range"
    assert all(part in str(fault.todo) for part in ("fast_polling_interval", "1 to 3600", "sync_interval has 2 rows:"))


def test_the_json_has_every_check_and_the_statuses(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute("insert into orders_inbox (order_number, order_date) values ('A-1', '2024-05-01')")
        connection.execute("delete from configuration_params where parameter_name = 'idle_after'")
    told = by_command(dsn, "--json")
    answer = json.loads(told.stdout)
    assert told.exit_code == 1
    assert answer["ok"] is False
    assert answer["statuses"] == {"pending": 1}
    assert [check["todo"] for check in answer["checks"] if not check["ok"]] == [
        "missing in configuration_params, category Polling, sku NULL: idle_after; "
        "run sql/001_polling.up.sql or `listener install`"
    ]


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_without_a_database_it_reports_on_stdout(options: list[str]) -> None:
    told = by_command("postgresql://shop:hidden@127.0.0.1:1/shop", *options)
    assert told.exit_code == 1
    assert "Connection refused" in told.stdout
    assert "hidden" not in told.output
