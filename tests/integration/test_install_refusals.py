"""What an install can't do, it says in a sentence, and changes nothing; who keeps it waiting is named."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from tenacity import stop_after_attempt

from listener import retry, watch
from listener.embedded.postgres import find_binaries
from listener.errors import Fatal
from listener.install import INSTALL, install, pieces, sql_dir, uninstall
from tests.support.bell import role
from tests.support.catalog import catalog
from tests.support.psql import psql

Connection = psycopg.Connection[Any]

# Owner of the tables, who may make a schema, but does not own the database.
TABLE_OWNER = """
do $$ begin execute format('grant create on database %I to {role}', current_database()); end $$;
grant create on schema public to {role};
do $$ declare name text; begin
    for name in select tablename from pg_tables where schemaname = 'public' loop
        execute format('alter table %I owner to {role}', name);
    end loop;
end $$
"""


def do(url: str, *commands: LiteralString) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for command in commands:
            connection.execute(command)


def test_a_server_that_is_too_old_is_told_which_one_is_needed(production_dsn: str) -> None:
    first_step = pieces((sql_dir() / INSTALL[0]).read_text())[1]
    assert "< 130000" in first_step
    with (
        psycopg.connect(production_dsn, autocommit=True) as connection,
        pytest.raises(psycopg.errors.RaiseException, match=r"^PostgreSQL 13 or newer is needed; this server is \d+\."),
    ):
        connection.execute(first_step.replace("130000", "990000").encode())


def test_who_may_not_is_told_what_is_lacking_and_changes_nothing(production_dsn: str) -> None:
    with role(production_dsn, "guest", "") as theirs:
        do(production_dsn, "revoke create on schema public from public")
        before = catalog(production_dsn)
        with pytest.raises(Fatal) as refused:
            install(theirs)
        assert catalog(production_dsn) == before
    said = str(refused.value)
    assert said.startswith("sql/001_polling.up.sql: role guest_of_")
    for needed in ("CREATE on database", "CREATE on schema public", "ownership of table orders_inbox"):
        assert needed in said
    assert "run this as the owner of the shop's tables" in said


def test_the_owner_of_the_tables_may_install_though_the_database_is_anothers(production_dsn: str) -> None:
    said: list[str] = []
    with role(production_dsn, "tables", TABLE_OWNER) as theirs:
        before = catalog(production_dsn)
        install(theirs, tell=said.append)
        assert [line for line in said if "does not own database" in line and line.startswith("notice: ")]
        with psycopg.connect(theirs) as own, psycopg.connect(production_dsn) as others:
            assert own.execute("show statement_timeout").fetchone() == ("15s",)
            assert others.execute("show statement_timeout").fetchone() != ("15s",)
        uninstall(theirs)
        assert catalog(production_dsn) == before


IN_THE_WAY: list[tuple[LiteralString, str]] = [
    ("drop table polling_state; create view polling_state as select 1 as id", "polling_state, which is no table;"),
    ("alter table polling_state drop column last_xml_check", "polling_state, which is a table without column last_xml"),
    (
        "create schema listener; create table listener.installed (id integer)",
        "listener.installed, which is a table without column previous",
    ),
    ("create sequence idx_orders_inbox_key", "idx_orders_inbox_key, which is no index on orders_inbox"),
    (
        "create index idx_shipped_orders_key on orders_inbox (notes)",
        "idx_shipped_orders_key, which is no index on shipped_orders",
    ),
]


@pytest.mark.parametrize(("foreign", "named"), IN_THE_WAY)
def test_what_is_in_the_way_is_named_and_nothing_is_changed(
    production_dsn: str, foreign: LiteralString, named: str
) -> None:
    do(production_dsn, foreign)
    before = catalog(production_dsn)
    with pytest.raises(Fatal, match=r"something else is in the way: .*; rename it, then run this again") as refused:
        install(production_dsn)
    assert named in str(refused.value)
    assert catalog(production_dsn) == before


@pytest.mark.parametrize("foreign", ["view listener.budget as select 1 as tokens", "table listener.ledger (n text)"])
def test_what_is_in_the_way_in_our_schema_is_named_and_survives_an_uninstall(
    production_dsn: str, foreign: LiteralString
) -> None:
    do(production_dsn, "create schema listener", f"create {foreign}")
    before = catalog(production_dsn)
    with pytest.raises(Fatal, match=f"something else is in the way: {foreign.split()[1]};"):
        install(production_dsn)
    uninstall(production_dsn)
    assert catalog(production_dsn) == before


def test_every_table_of_ours_is_looked_for_before_it_is_made() -> None:
    looking, _, making = (sql_dir() / INSTALL[1]).read_text().partition("insert into listener.installed")
    assert not [
        name
        for name in re.findall(r"create table if not exists listener\.(\w+)", making)
        if f"('{name}', '" not in looking
    ]


@pytest.mark.parametrize("name", ["note_new_states", "tell_flags"])
def test_a_function_of_somebody_else_is_in_the_way(production_dsn: str, name: LiteralString) -> None:
    do(
        production_dsn,
        "create schema listener",
        f"create function listener.{name}() returns trigger language plpgsql as 'begin return null; end'",
    )
    with (
        role(production_dsn, "tables", TABLE_OWNER + "; grant all on schema listener to {role}") as theirs,
        pytest.raises(Fatal, match=rf"in the way: listener\.{name}\(\) of role postgres; rename it"),
    ):
        install(theirs)


def test_psql_that_goes_on_after_an_error_changes_nothing_in_a_database_that_is_not_the_shops(
    production_dsn: str,
) -> None:
    do(production_dsn, "drop table sku_lot")
    before = catalog(production_dsn)
    arguments = [part for file in INSTALL for part in ("-f", str(sql_dir() / file))]
    subprocess.run(
        [str(find_binaries() / "psql"), production_dsn, "-X", "-q", *arguments], capture_output=True, check=True
    )
    assert catalog(production_dsn) == before


def test_an_install_that_broke_off_anywhere_is_finished_by_the_next(production_dsn: str) -> None:
    before = catalog(production_dsn)
    install(production_dsn)
    whole = catalog(production_dsn)
    steps = [piece for file in INSTALL for piece in pieces((sql_dir() / file).read_text())]
    for done in range(1, len(steps), 4):
        uninstall(production_dsn)
        assert catalog(production_dsn) == before
        with psycopg.connect(production_dsn, autocommit=True) as connection:
            for step in steps[:done]:
                connection.execute(step.encode())
        install(production_dsn)
        assert catalog(production_dsn) == whole, f"after {done} steps"


CONFIDENTIAL = "update orders_inbox set notes = 'top secret' where false"


@contextmanager
def somebody(url: str, *statements: LiteralString) -> Iterator[Connection]:
    """A session with these statements in an open transaction."""
    with psycopg.connect(make_conninfo(url, application_name="a report")) as connection:
        for statement in statements:
            connection.execute(statement)
        yield connection
        connection.rollback()


def gone_as_soon_as_named(connection: Connection, said: list[str]) -> Any:
    def tell(line: str) -> None:
        said.append(line)
        if line.startswith("waiting for "):
            connection.rollback()

    return tell


@pytest.fixture
def quick_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "FIRST_LOOK_SECONDS", 0.05)
    monkeypatch.setattr(watch, "LOOK_EVERY_SECONDS", 0.05)


@pytest.mark.usefixtures("quick_watch")
@pytest.mark.parametrize(
    "lock",
    [
        CONFIDENTIAL,  # the build of an index waits for it
        "lock table configuration_params",  # the rows of the flags do
    ],
)
def test_who_keeps_an_install_waiting_is_named_and_it_goes_on_when_they_have_gone(
    production_dsn: str, lock: LiteralString
) -> None:
    said: list[str] = []
    with somebody(production_dsn, lock) as them:
        install(production_dsn, tell=gone_as_soon_as_named(them, said))
        pid = them.info.backend_pid
    (named,) = [line for line in said if line.startswith("waiting for ")]
    assert f"waiting for pid {pid}, user postgres, application a report, for 00:00:0" in named
    assert named.endswith(lock.split(" '")[0] + (" " if "'" in lock else ""))
    psql(production_dsn, "verify.sql")


@pytest.mark.usefixtures("quick_watch")
def test_an_install_that_waits_in_vain_says_who_is_in_the_way(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "stop_after_attempt", lambda _: stop_after_attempt(1))
    with somebody(dsn, "lock table listener.ledger") as them:
        pid = them.info.backend_pid
        with pytest.raises(Fatal, match=rf"sql/002_ledger\.up\.sql: no lock .*; in the way: pid {pid}, user postgres"):
            install(dsn)
    install(dsn)


def test_the_bell_names_who_is_in_its_way_without_what_they_wrote(production_dsn: str) -> None:
    impatient = make_conninfo(production_dsn, options="-c listener.lock_tries=1")
    psql(production_dsn, *INSTALL[:2])
    with somebody(production_dsn, CONFIDENTIAL) as them:
        pid = them.info.backend_pid
        with pytest.raises(Fatal) as refused:
            install(impatient)
    said = str(refused.value)
    assert f"no lock on table orders_inbox in 1 tries; in the way: pid {pid}, user postgres" in said
    assert ": update orders_inbox set notes = . Wait for that to end" in said
    assert "top secret" not in said


def test_a_reader_is_in_the_way_only_where_a_trigger_has_to_go_first(dsn: str) -> None:
    impatient = make_conninfo(dsn, options="-c listener.lock_tries=1")
    do(dsn, "drop trigger listener_orders_inserted on orders_inbox")
    with somebody(dsn, "select from orders_inbox"):
        install(impatient)
    do(dsn, "alter table orders_inbox disable trigger listener_orders_inserted")
    with somebody(dsn, "select from orders_inbox") as them:
        with pytest.raises(Fatal, match=f"in the way: pid {them.info.backend_pid},"):
            install(impatient)
        them.rollback()
        install(impatient)
    psql(dsn, "verify.sql")
