"""The listener's own role: what it may do, and that it may do no more."""

from collections.abc import Iterator
from typing import LiteralString

import psycopg
import pytest
from psycopg import sql

from listener.errors import Fatal
from listener.install import BASE_TABLES, install, open_session, rollback, run_pieces
from listener.verify import verify
from tests.integration.test_statements import numbered, statements
from tests.support.bell import Connection, role
from tests.support.catalog import catalog
from tests.support.psql import psql, run_psql
from tests.support.worker import LOGIN, as_worker


@pytest.fixture
def worker(dsn: str) -> Iterator[Connection]:
    with psycopg.connect(as_worker(dsn), autocommit=True, prepare_threshold=None) as connection:
        yield connection


PARAMETERS = "select cardinality(parameter_types) from pg_prepared_statements where name = 'this'"


def test_every_statement_of_the_listener_is_allowed(worker: Connection) -> None:
    refused = {}
    for name, query in statements().items():
        query = numbered(query.strip().rstrip(";"))  # noqa: PLW2901
        if query.split()[0] == "notify":
            continue
        try:
            worker.execute(f"prepare this as {query}".encode())
            (count,) = worker.execute(PARAMETERS).fetchone() or (0,)
            given = ", ".join(["null"] * count)
            worker.execute(f"explain execute this {f'({given})' if given else ''}".encode())
        except psycopg.errors.InsufficientPrivilege as error:
            refused[name] = str(error)
        worker.execute("deallocate this")
    if worker.info.server_version < 140000:  # there superusers alone see it; doctor says that it could not look
        refused.pop("listener.store.catalog.SUBSCRIPTIONS_SQL", None)
    assert not refused


FORBIDDEN: list[LiteralString] = [
    "delete from orders_inbox",
    "truncate orders_inbox",
    "update orders_inbox set ship_street1 = 'elsewhere'",
    "update orders_inbox set total_amount_cents = 0",
    "update orders_inbox set order_number = 'X'",
    "update configuration_params set value = 'false'",
    "delete from configuration_params",
    "insert into workflow_controls (workflow_name) values ('mine')",
    "delete from polling_state",
    "update sku_lot set active = 0",
    "update listener.installed set existed = true",
    "delete from listener.installed",
    "truncate listener.ledger",
    "create table listener.mine ()",
    "create schema mine",
    "alter table orders_inbox add column mine text",
    "create index mine on orders_inbox (notes)",
    "drop index idx_orders_inbox_pending",
    "drop table listener.ledger",
    "alter table orders_inbox disable trigger listener_orders_inserted",
    "drop trigger listener_orders_inserted on orders_inbox",
    "create or replace function listener.tell_flags() returns trigger language plpgsql as 'begin return null; end'",
    "create role mine",
    "set role postgres",
    "do $$ begin execute format('alter database %I set statement_timeout = 0', current_database()); end $$",
]


def test_nothing_else_is_allowed(worker: Connection) -> None:
    allowed = []
    for statement in FORBIDDEN:
        try:
            worker.execute(statement)
        except psycopg.errors.InsufficientPrivilege:
            continue
        allowed.append(statement)
    assert not allowed


def test_it_verifies_what_the_owner_has_installed(dsn: str) -> None:
    assert [check for check in verify(as_worker(dsn)).checks if not check.ok] == []


def test_the_role_itself_cannot_log_in_and_has_no_power_over_the_cluster(worker: Connection) -> None:
    row = worker.execute(
        "select rolcanlogin, rolsuper, rolcreaterole, rolcreatedb from pg_roles where rolname = %s", ["listener_worker"]
    ).fetchone()
    assert row == (False, False, False, False)


def test_it_runs_by_psql_as_often_as_you_like_and_its_reverse_leaves_no_trace(production_dsn: str) -> None:
    install(production_dsn)
    before = catalog(production_dsn)
    psql(production_dsn, "roles.sql")
    granted = catalog(production_dsn)
    assert granted != before
    psql(production_dsn, "roles.sql")
    assert catalog(production_dsn) == granted
    for _ in range(2):
        psql(production_dsn, "roles.down.sql")
        assert catalog(production_dsn) == before


def test_the_role_itself_goes_when_nobody_is_a_member(dsn: str) -> None:
    as_worker(dsn)
    assert f"it is granted to {LOGIN}" in run_psql(dsn, "roles.down.sql").stderr
    with psycopg.connect(dsn, autocommit=True) as owner:
        owner.execute(sql.SQL("drop role {}").format(sql.Identifier(LOGIN)))
        psql(dsn, "roles.down.sql")
        assert owner.execute("select to_regrole('listener_worker')").fetchone() == (None,)


def test_it_is_let_in_again_by_a_reinstall(dsn: str) -> None:
    theirs = as_worker(dsn)
    granted = catalog(dsn)
    rollback(dsn, "all")
    install(dsn)
    assert catalog(dsn) == granted
    with psycopg.connect(theirs) as connection:
        connection.execute("select from listener.ledger")


def test_who_does_not_own_the_tables_is_told_who_may(production_dsn: str) -> None:
    install(production_dsn)
    says = r"does not own .*orders_inbox.*: run this as the owner of the shop's tables"
    with (
        role(production_dsn, "guest", "") as theirs,
        open_session(theirs) as session,
        pytest.raises(Fatal, match=says),
    ):
        run_pieces(session, "roles.sql")


def test_before_an_install_it_names_what_comes_first(empty_dsn: str) -> None:
    psql(empty_dsn, BASE_TABLES)
    assert "run sql/001_polling.up.sql, 002 and 003 first" in run_psql(empty_dsn, "roles.sql").stderr
