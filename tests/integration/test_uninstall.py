"""Uninstalling: what was there before stays, what we added goes, and nothing else tells that we were here."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest
from click.testing import CliRunner
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from listener.cli import schema
from listener.install import BASE_TABLES, INSTALL, UNINSTALL, install, uninstall
from tests.support.catalog import catalog
from tests.support.psql import psql

INTERVAL_OF_20_SECONDS = """
insert into configuration_params (category, parameter_name, value) values ('Polling', 'fast_polling_interval', '20')
"""


def by_psql(url: str, *files: str) -> None:
    psql(url, *files)


def by_the_program(url: str, *files: str) -> None:
    if files == UNINSTALL:
        uninstall(url)
    else:
        install(url)


both_ways = pytest.mark.parametrize("apply", [by_psql, by_the_program])
Apply = Callable[..., None]


def ask(url: str, query: LiteralString) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(query).fetchall()


@both_ways
def test_up_and_down_leave_the_database_as_it_was(production_dsn: str, apply: Apply) -> None:
    rows = "select * from configuration_params order by id"
    before = catalog(production_dsn), ask(production_dsn, rows), ask(production_dsn, "table polling_state")
    apply(production_dsn, *INSTALL)
    assert catalog(production_dsn) != before[0]
    for _ in range(2):  # the second time there is nothing left to do
        apply(production_dsn, *UNINSTALL)
        assert before == (
            catalog(production_dsn),
            ask(production_dsn, rows),
            ask(production_dsn, "table polling_state"),
        )


@both_ways
def test_up_and_down_leave_a_bare_database_as_it_was(empty_dsn: str, apply: Apply) -> None:
    psql(empty_dsn, BASE_TABLES)
    before = catalog(empty_dsn)
    apply(empty_dsn, *INSTALL)
    apply(empty_dsn, *INSTALL)  # our own work must not pass for the shop's
    apply(empty_dsn, *UNINSTALL)
    assert catalog(empty_dsn) == before
    assert ask(empty_dsn, "select count(*) from configuration_params") == [(0,)]
    assert ask(empty_dsn, "select count(*) from workflow_controls") == [(0,)]


ROWS = """
select category, parameter_name, value, notes, sku from configuration_params
union all select 'workflow', workflow_name, enabled::text, updated_by, null from workflow_controls
order by 1, 2
"""


@pytest.mark.parametrize("greenfield", [True, False])
def test_each_file_that_takes_away_leaves_what_was_there_before_its_reverse(
    empty_dsn: str, production_dsn: str, greenfield: bool
) -> None:
    url = empty_dsn if greenfield else production_dsn
    psql(url, *[BASE_TABLES] * greenfield)

    def applied(*files: str) -> tuple[str, Any]:
        psql(url, *files)
        return catalog(url), ask(url, ROWS)

    bare = applied()
    polling = applied("001_polling.up.sql")
    ledger = applied("002_ledger.up.sql")
    whole = applied("003_notify.up.sql")
    assert applied("rollback/flags.sql")[0] == whole[0]
    assert applied("rollback/flags_back.sql") == whole
    assert applied("rollback/notify.sql") == ledger
    assert applied("003_notify.up.sql") == whole
    assert applied("003_notify.down.sql") == ledger
    assert applied("002_ledger.down.sql") == polling
    assert applied("001_polling.down.sql") == bare
    assert applied(*INSTALL) == whole
    assert applied("rollback/all.sql") == bare
    assert len({bare[0], polling[0], ledger[0], whole[0]}) == 4


def test_what_the_first_rollout_left_behind_survives_the_uninstall(production_dsn: str) -> None:
    name = sql.Identifier(str(conninfo_to_dict(production_dsn)["dbname"]))
    with psycopg.connect(production_dsn, autocommit=True) as connection:
        connection.execute(
            "create index idx_orders_inbox_awaiting on orders_inbox (status) where status = 'awaiting_shipment'"
        )
        connection.execute(INTERVAL_OF_20_SECONDS)
        connection.execute(sql.SQL("alter database {} set statement_timeout = '60s'").format(name))
    before = catalog(production_dsn)
    install(production_dsn)
    assert ask(production_dsn, "show statement_timeout") == [("15s",)]
    uninstall(production_dsn)
    assert catalog(production_dsn) == before
    assert ask(production_dsn, "show statement_timeout") == [("1min",)]
    interval = "select value from configuration_params where parameter_name = 'fast_polling_interval'"
    assert ask(production_dsn, interval) == [("20",)]


def test_the_commands_name_the_files_they_applied(
    production_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", production_dsn)
    monkeypatch.chdir(tmp_path)
    for command, files in ((schema.install, INSTALL), (schema.uninstall, UNINSTALL)):
        done = CliRunner().invoke(command, [])
        assert done.exit_code == 0
        assert done.stdout.splitlines()[:-1] == [f"applied sql/{file}" for file in files]
