"""Installing: on any database, by psql or by the program, as often as you like; and back, without a trace."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, LiteralString

import psycopg
import pytest
from click.testing import CliRunner
from psycopg.conninfo import make_conninfo

from listener.cli import schema
from listener.errors import Fatal
from listener.install import BASE_TABLES, INSTALL, install, pieces, script, sql_dir, uninstall
from tests.support.catalog import catalog
from tests.support.psql import psql

EVERY_FILE = sorted(str(path.relative_to(sql_dir())) for path in sql_dir().rglob("*.sql"))
FLAGS = 11
INTERVAL_OF_20_SECONDS = """
insert into configuration_params (category, parameter_name, value) values ('Polling', 'fast_polling_interval', '20')
"""
SHOW_SETTINGS = """
select string_agg(setting, ' ' order by name) from pg_settings
where name in ('statement_timeout', 'lock_timeout', 'search_path', 'client_min_messages')
"""


def by_psql(url: str, *files: str) -> None:
    psql(url, *files)


def by_the_program(url: str, *files: str) -> None:
    install(url, base_tables=BASE_TABLES in files)


both_ways = pytest.mark.parametrize("apply", [by_psql, by_the_program])
Apply = Callable[..., None]


def ask(url: str, query: LiteralString) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(query).fetchall()


def do(url: str, *commands: LiteralString) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for command in commands:
            connection.execute(command)


def index_is_valid(url: str, name: str) -> bool:
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "select indisvalid from pg_index where indexrelid = to_regclass(%s)", [name]
        ).fetchone()
    return bool(row and row[0])


def fast_polling_interval(url: str) -> list[str]:
    query = (
        "select value from configuration_params where category = 'Polling' and parameter_name = 'fast_polling_interval'"
    )
    return [value for (value,) in ask(url, query)]


@both_ways
def test_an_empty_database_gets_the_shops_tables_and_ours(empty_dsn: str, apply: Apply) -> None:
    apply(empty_dsn, BASE_TABLES, *INSTALL)
    psql(empty_dsn, "verify.sql")
    assert ask(empty_dsn, "select id, last_xml_count from polling_state") == [(1, 0)]


def test_the_base_tables_are_the_tables_of_production(empty_dsn: str, production_dsn: str) -> None:
    psql(empty_dsn, BASE_TABLES)
    do(production_dsn, "drop table polling_state")
    assert catalog(empty_dsn) == catalog(production_dsn)


@both_ways
def test_production_keeps_what_it_has(production_dsn: str, apply: Apply) -> None:
    do(
        production_dsn,
        INTERVAL_OF_20_SECONDS,
        "update workflow_controls set enabled = false where workflow_name = 'xml-import'",
        "update polling_state set last_xml_count = 'seven'",
    )
    apply(production_dsn, *INSTALL)
    psql(production_dsn, "verify.sql")
    assert fast_polling_interval(production_dsn) == ["20"]
    assert ask(production_dsn, "select enabled from workflow_controls where workflow_name = 'xml-import'") == [(False,)]
    assert ask(production_dsn, "select last_xml_count from polling_state") == [("seven",)]
    assert ask(production_dsn, "select count(*) from configuration_params where category = 'Polling'") == [(FLAGS,)]


@both_ways
def test_a_second_install_changes_nothing(production_dsn: str, apply: Apply) -> None:
    apply(production_dsn, *INSTALL)
    do(production_dsn, "update listener.budget set tokens = 3", "update listener.leader set epoch = 7")
    before = catalog(production_dsn), ask(production_dsn, "select * from listener.installed order by object")
    apply(production_dsn, *INSTALL)
    assert before == (catalog(production_dsn), ask(production_dsn, "select * from listener.installed order by object"))
    assert ask(production_dsn, "select tokens, epoch from listener.budget, listener.leader") == [(3, 7)]
    assert ask(production_dsn, "select count(*) from configuration_params where category = 'Polling'") == [(FLAGS,)]


def test_psql_and_the_program_make_the_same(empty_dsn: str, production_dsn: str) -> None:
    do(production_dsn, "drop table polling_state")
    by_psql(empty_dsn, BASE_TABLES, *INSTALL)
    by_the_program(production_dsn, *INSTALL)
    assert catalog(empty_dsn) == catalog(production_dsn)


@contextmanager
def writer_in_the_way(url: str) -> Iterator[int]:
    """A transaction that has written to orders_inbox and stays open; yields its pid."""
    with psycopg.connect(url) as connection:
        connection.execute("update orders_inbox set notes = notes where false")
        yield connection.info.backend_pid
        connection.rollback()


BUILDS: list[tuple[str, LiteralString]] = [
    ("idx_orders_inbox_pending", "create index concurrently idx_orders_inbox_pending on orders_inbox (id)"),
    ("idx_orders_inbox_key", "create index concurrently idx_orders_inbox_key on orders_inbox (order_number)"),
]


@pytest.mark.parametrize(("name", "build"), BUILDS)
@both_ways
def test_an_index_whose_build_was_interrupted_is_built_again(
    production_dsn: str, apply: Apply, name: str, build: LiteralString
) -> None:
    with writer_in_the_way(production_dsn), pytest.raises(psycopg.errors.QueryCanceled):
        do(production_dsn, "set statement_timeout = '100ms'", build)
    assert (name, False) in ask(production_dsn, "select indexrelid::regclass::text, indisvalid from pg_index")
    apply(production_dsn, *INSTALL)
    assert index_is_valid(production_dsn, name)
    psql(production_dsn, "verify.sql")


def test_an_install_that_broke_off_is_finished_by_the_next(production_dsn: str) -> None:
    before = catalog(production_dsn)
    psql(production_dsn, "001_polling.up.sql", "002_ledger.up.sql")
    impatient = make_conninfo(production_dsn, options="-c listener.lock_tries=1")
    with (
        writer_in_the_way(production_dsn) as pid,
        pytest.raises(Fatal, match=f"table orders_inbox in 1 tries; in the way: pid {pid}"),
    ):
        install(impatient)
    install(impatient)
    psql(production_dsn, "verify.sql")
    uninstall(production_dsn)
    assert catalog(production_dsn) == before


def test_installs_at_the_same_time_all_succeed(empty_dsn: str) -> None:
    with ThreadPoolExecutor(3) as hosts:
        done = [hosts.submit(install, empty_dsn, base_tables=True) for _ in range(3)]
        assert [each.result() for each in done] == [[BASE_TABLES, *INSTALL]] * 3
    psql(empty_dsn, "verify.sql")


def test_an_install_over_an_installed_one_waits_for_no_writer(dsn: str) -> None:
    with writer_in_the_way(dsn):
        install(make_conninfo(dsn, options="-c listener.lock_tries=1"))


@pytest.mark.parametrize(
    "damage",
    [
        "alter table orders_inbox disable trigger listener_orders_inserted",
        "drop trigger listener_flags_changed on configuration_params",
        """drop trigger listener_orders_updated on orders_inbox;
           create trigger listener_orders_updated after insert on orders_inbox
           for each statement execute function listener.ring_for_updated_orders()""",
    ],
)
def test_an_install_mends_a_trigger_that_was_tampered_with(dsn: str, damage: LiteralString) -> None:
    before = catalog(dsn)
    do(dsn, damage)
    assert catalog(dsn) != before
    install(dsn)
    assert catalog(dsn) == before


def test_without_the_shops_tables_it_says_which_file_makes_them_and_changes_nothing(empty_dsn: str) -> None:
    before = catalog(empty_dsn)
    with pytest.raises(
        Fatal, match=r"missing .*orders_inbox.*sql/base_tables\.sql or `listener install --base-tables`"
    ):
        install(empty_dsn)
    assert catalog(empty_dsn) == before


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("postgresql://shop:hidden@127.0.0.1:1/shop", "Connection refused; check the host and port"),
        ("postgresql//shop:hidden@127.0.0.1/shop", "DATABASE_URL is not understood"),
    ],
)
def test_an_unreachable_database_is_one_line_without_the_password(url: str, says: str) -> None:
    with pytest.raises(Fatal, match=says) as failed:
        install(url)
    assert "hidden" not in str(failed.value)
    assert "\n" not in str(failed.value)


def test_a_database_that_does_not_exist_is_named(empty_dsn: str) -> None:
    with pytest.raises(Fatal, match='database "no_such_shop" does not exist; create it, or correct the name'):
        install(make_conninfo(empty_dsn, dbname="no_such_shop"))


@pytest.mark.parametrize("file", EVERY_FILE)
def test_a_file_leaves_psqls_settings_as_they_were(dsn: str, file: str) -> None:
    options = "-c statement_timeout=15s -c lock_timeout=3s -c search_path=theirs,public -c client_min_messages=warning"
    before = psql(dsn, options=options, command=SHOW_SETTINGS)
    assert before.split() == ["warning", "3000", "theirs,public", "15000"]
    before_it = ["003_notify.down.sql"] if file == "002_ledger.down.sql" else []
    assert psql(dsn, *before_it, file, options=options, command=SHOW_SETTINGS) == before


@pytest.mark.parametrize("file", EVERY_FILE)
def test_a_file_is_plain_sql_in_plain_characters(file: str) -> None:
    text = (sql_dir() / file).read_text()
    assert text.isascii(), "a database's own encoding may not have the rest"
    assert not [line for line in text.splitlines() if line.startswith("\\")], "only psql knows what begins with \\"


def test_a_file_is_split_at_its_lines_next() -> None:
    assert pieces("-- a\nselect 1;\n-- next\n\n-- next\nselect '-- next';\n") == [
        "-- a\nselect 1;\n",
        "select '-- next';\n",
    ]


def test_the_printed_script_is_what_install_would_do(production_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    printed = CliRunner().invoke(schema.install, ["--print"])
    assert printed.stdout == script(INSTALL)
    psql(production_dsn, given=printed.stdout, command="")
    psql(production_dsn, "verify.sql")
