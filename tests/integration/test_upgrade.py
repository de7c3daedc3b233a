"""An install over an earlier one: what it made is there as if it were new, and what was written in it stays."""

from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest

from listener.install import INSTALL, install, uninstall
from tests.support.catalog import catalog
from tests.support.psql import psql, run_psql

EARLY = Path(__file__).parents[1] / "data" / "early_install.sql"

# Columns by name: those that were added stand at the end of a table.
SHAPE = """
select format('%s.%s %s%s default %s', attrelid::regclass, attname, format_type(atttypid, atttypmod),
              case when attnotnull then ' not null' end, pg_get_expr(adbin, adrelid))
from pg_attribute left join pg_attrdef on adrelid = attrelid and adnum = attnum
where attrelid in (select oid from pg_class where relnamespace = 'listener'::regnamespace and relkind = 'r')
  and attnum > 0 and not attisdropped
union all
select pg_get_indexdef(indexrelid) from pg_index join pg_class c on c.oid = indrelid
where relnamespace = 'listener'::regnamespace
union all
select conrelid::regclass || ' ' || pg_get_constraintdef(oid) from pg_constraint
where connamespace = 'listener'::regnamespace
union all
select pg_get_triggerdef(t.oid) from pg_trigger t join pg_proc p on p.oid = tgfoid
where pronamespace = 'listener'::regnamespace
union all
select pg_get_functiondef(oid) from pg_proc where pronamespace = 'listener'::regnamespace
"""
KEPT: dict[LiteralString, list[tuple[Any, ...]]] = {
    "select epoch from listener.leader": [(7,)],
    "select tokens from listener.budget": [(3,)],
    "select order_key, state, attempts, again, error from listener.ledger order by 1": [
        ("A-1", "accepted", 0, 1, None),
        ("A-2", "waiting", 2, 1, "no zone"),
    ],
    "select order_key, state from listener.history order by id": [("A-1", "accepted"), ("A-2", "waiting")],
    "select parameter_name, new_value from listener.config_log": [("sync_interval", "90")],
    "select name from listener.imports": [("orders.xml",)],
    "select order_key from listener.imported_orders": [("A-1",)],
    "select value from configuration_params where parameter_name = 'sync_interval'": [("90",)],
}


def by_psql(url: str) -> None:
    psql(url, *INSTALL)


def shape(url: str) -> set[str]:
    with psycopg.connect(url) as connection:
        return {text for (text,) in connection.execute(SHAPE)}


@pytest.mark.parametrize("apply", [by_psql, install])
def test_an_early_install_becomes_todays_and_keeps_what_it_knows(production_dsn: str, dsn: str, apply: Any) -> None:
    before = catalog(production_dsn)
    with psycopg.connect(production_dsn) as connection:
        connection.execute(EARLY.read_bytes())
    apply(production_dsn)
    psql(production_dsn, "verify.sql")
    assert shape(production_dsn) == shape(dsn)
    with psycopg.connect(production_dsn) as connection:
        for query, rows in KEPT.items():
            assert connection.execute(query).fetchall() == rows, query
    uninstall(production_dsn)
    assert catalog(production_dsn) == before


COLUMNS = """
select c.relname || '.' || attname from pg_attribute join pg_class c on c.oid = attrelid
where relnamespace = 'listener'::regnamespace and relkind = 'r' and attnum > 0
"""


def columns(url: str) -> set[str]:
    with psycopg.connect(url) as connection:
        return {name for (name,) in connection.execute(COLUMNS)}


def test_what_an_early_install_lacks_is_named_by_verify(production_dsn: str, dsn: str) -> None:
    with psycopg.connect(production_dsn) as connection:
        connection.execute(EARLY.read_bytes())
    said = run_psql(production_dsn, "verify.sql").stderr
    tables = {name.split(".")[0] for name in columns(production_dsn)}
    for missing in columns(dsn) - columns(production_dsn):
        table, column = missing.split(".")
        assert (f"column {column} of {table}" if table in tables else f" {table}") in said, missing


def test_an_upgrade_waits_for_no_reader_when_there_is_nothing_to_change(dsn: str) -> None:
    with psycopg.connect(dsn) as reader:
        reader.execute("select from listener.ledger, listener.history, listener.leader, listener.budget")
        install(dsn)
