"""doctor on a schema that somebody has broken: what is wrong is found, nothing else is, and psql mends it."""

from typing import LiteralString

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from listener.doctor import tables
from listener.verify import verify
from tests.integration.test_verify import BREAKAGES
from tests.support.bell import role
from tests.support.doctor import bad, complaints, examined, mend, mends, the_one


def run(url: str, query: LiteralString) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(query)


def test_a_database_that_is_installed_and_empty_is_in_good_health(dsn: str) -> None:
    assert not bad(examined(dsn))


@pytest.mark.parametrize(("breakage", "named"), BREAKAGES)
def test_whatever_verify_misses_the_sql_brings_back(dsn: str, breakage: LiteralString, named: str) -> None:
    run(dsn, breakage)
    findings = bad(examined(dsn, "schema"))
    assert any(named in found.sentence for found in findings)
    mend(dsn, findings)
    assert verify(dsn).ok


def test_an_empty_database_gets_everything(empty_dsn: str) -> None:
    assert ("schema", "error") in complaints(examined(empty_dsn))
    assert mends(empty_dsn)
    assert verify(empty_dsn).ok


def test_production_gets_what_it_has_not(production_dsn: str) -> None:
    assert ("schema", "error") in complaints(examined(production_dsn))
    assert mends(production_dsn)


def test_a_disabled_trigger_is_enabled_and_no_file_is_run(dsn: str) -> None:
    run(dsn, "alter table orders_inbox disable trigger listener_orders_updated")
    found = the_one(dsn, "schema", "error")
    assert "listener_orders_updated" in found.sentence
    assert "alter table public.orders_inbox enable trigger listener_orders_updated;" in found.sql
    assert not found.files
    assert mends(dsn)


INVALID: LiteralString = "update pg_index set indisvalid = false where indexrelid = {name}::regclass"


def test_a_name_that_would_be_sql_is_quoted(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        for statement in ("create table {table} (id serial)", "create index {index} on {table} (id)", INVALID):
            connection.execute(
                sql.SQL(statement).format(
                    table=sql.Identifier("listener", "x; drop table orders_inbox --"),
                    index=sql.Identifier("y; drop table orders_inbox --"),
                    name=sql.Literal('listener."y; drop table orders_inbox --"'),
                )
            )
    with role(dsn, "o'\"; drop table orders_inbox --", "select") as url:
        mend(dsn, examined(url, "privileges", "indexes"))
        assert not bad(examined(url, "privileges", "indexes"))


def test_a_trigger_for_replicas_only_counts_as_disabled(dsn: str) -> None:
    run(dsn, "alter table configuration_params enable replica trigger listener_flags_changed")
    assert not the_one(dsn, "schema", "error").files
    assert mends(dsn)


def test_one_trigger_disabled_and_one_gone_are_both_mended(dsn: str) -> None:
    run(
        dsn,
        """alter table orders_inbox disable trigger listener_orders_updated;
           drop trigger listener_orders_inserted on orders_inbox""",
    )
    found = the_one(dsn, "schema", "error")
    assert found.files == ("003_notify.up.sql",)
    assert mends(dsn)


def test_a_limit_that_a_role_has_of_its_own_is_taken_back(dsn: str) -> None:
    name = sql.Identifier(str(conninfo_to_dict(dsn)["dbname"]))
    with psycopg.connect(dsn, autocommit=True) as connection:
        change = sql.SQL("alter role current_user in database {} set statement_timeout = '1min'")
        connection.execute(change.format(name))
    assert "60000 ms" in the_one(dsn, "schema", "warning").sentence
    assert mends(dsn)


@pytest.mark.parametrize("index", ["ledger_holds", "mirror_order", "api_calls_at"])
def test_an_index_of_our_own_that_is_gone_comes_back(dsn: str, index: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("drop index listener.{}").format(sql.Identifier(index)))
    assert index in the_one(dsn, "indexes", "error").sentence
    assert mends(dsn)


@pytest.mark.parametrize(
    ("index", "files"), [("listener.ledger_holds", 1), ("public.idx_orders_inbox_pending_ccnew", 0)]
)
def test_an_index_that_was_left_half_built_is_dropped_and_ours_built_again(dsn: str, index: str, files: int) -> None:
    run(dsn, "create index idx_orders_inbox_pending_ccnew on orders_inbox (notes)")
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("update pg_index set indisvalid = false where indexrelid = %s::text::regclass", [index])
    found = the_one(dsn, "indexes", "warning")
    assert index in found.sentence
    assert len(found.files) == files
    assert mends(dsn)


GRANTS = """
grant usage on schema listener to {role};
grant select, insert, update, delete on all tables in schema listener to {role};
grant select, insert, update on orders_inbox, sync_watermark to {role};
grant select, insert, update, delete on order_items_inbox, shipped_orders, shipped_items to {role};
grant select, insert on shipstation_order_line_items to {role};
grant select, update on workflow_controls, polling_state to {role};
grant select on configuration_params, bundle_skus, bundle_components, sku_lot to {role};
grant usage on sequence orders_inbox_id_seq, order_items_inbox_id_seq, sync_watermark_id_seq, shipped_orders_id_seq,
    shipped_items_id_seq, shipstation_order_line_items_id_seq to {role}
"""


def test_an_index_of_the_shops_that_was_left_half_built_is_the_shops_to_drop(dsn: str) -> None:
    run(dsn, "create index notes on orders_inbox (notes)")
    run(dsn, "update pg_index set indisvalid = false where indexrelid = 'notes'::regclass")
    found = the_one(dsn, "indexes", "warning")
    assert "`drop index concurrently if exists public.notes;`" in found.todo
    assert not found.is_mended_by_sql


def test_a_role_with_just_the_privileges_that_are_needed_is_let_off(dsn: str) -> None:
    with role(dsn, "careful", GRANTS) as url:
        findings = examined(url)
    assert not bad(findings)
    assert any("pg_read_all_stats" in found.todo for found in findings if found.check == "privileges")


@pytest.mark.parametrize(
    ("revoked", "named"),
    [
        ("update on orders_inbox", "lacks update on table public.orders_inbox"),
        ("insert, delete on listener.ledger", "lacks delete, insert on table listener.ledger"),
        ("usage on sequence orders_inbox_id_seq", "lacks usage on sequence public.orders_inbox_id_seq"),
        ("usage on schema listener", "lacks usage on schema listener"),
    ],
)
def test_a_privilege_that_is_missing_is_granted_by_the_owner(dsn: str, revoked: LiteralString, named: str) -> None:
    with role(dsn, "careless", GRANTS + "; revoke " + revoked + " from {role}") as url:
        (found,) = bad(examined(url, "privileges"))
        assert named in found.sentence
        mend(dsn, [found])
        assert not bad(examined(url))


def test_a_role_that_may_nothing_is_told_all_of_it_and_one_repair_is_enough(dsn: str) -> None:
    with role(dsn, "nobody", "select") as url:
        findings = bad(examined(url, "privileges"))
        assert len(findings) > 20
        mend(dsn, findings)
        assert not bad(examined(url))


def test_rows_that_a_policy_may_hide_are_a_warning(dsn: str) -> None:
    run(dsn, "alter table orders_inbox enable row level security")
    with role(dsn, "guest", GRANTS) as url:
        (found,) = bad(examined(url, "privileges"))
        assert "row-level security on public.orders_inbox" in found.sentence
        assert not bad(examined(dsn))  # the owner sees all


MANY_ORDERS: LiteralString = """
insert into orders_inbox (order_number, order_date, status, notes)
select n::text, current_date, 'shipped', repeat('x', 1000) from generate_series(1, 9000) n
"""
NOT_BY_ITSELF: LiteralString = """
alter table orders_inbox set (autovacuum_vacuum_threshold = 2000000000, autovacuum_vacuum_insert_threshold = -1)
"""


def test_a_large_table_that_was_never_vacuumed_is_vacuumed(dsn: str) -> None:
    run(dsn, NOT_BY_ITSELF)
    run(dsn, MANY_ORDERS)
    assert "public.orders_inbox (10 MB) was never vacuumed" in the_one(dsn, "tables", "warning").sentence
    assert mends(dsn)


def test_autovacuum_that_is_off_for_a_table_is_put_on(dsn: str) -> None:
    run(dsn, "alter table listener.ledger set (autovacuum_enabled = false)")
    assert "autovacuum is off for listener.ledger" in the_one(dsn, "tables", "warning").sentence
    assert mends(dsn)


def test_an_index_that_holds_little_else_than_the_dead_is_built_anew(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "BLOATED_BYTES", 2**20)
    run(
        dsn,
        """set session_replication_role = replica; set synchronous_commit = off;
           alter table orders_inbox set (autovacuum_enabled = false);
           insert into orders_inbox (order_number, order_date, status)
           select n::text, current_date, 'awaiting_shipment' from generate_series(1, 40000) n;
           update orders_inbox set status = 'shipped';
           alter table orders_inbox reset (autovacuum_enabled)""",
    )
    run(dsn, "vacuum orders_inbox")
    found = the_one(dsn, "tables", "warning", "tables")
    assert "index public.idx_orders_inbox_pending" in found.sentence
    assert mends(dsn)


def test_a_check_that_reads_the_table_is_found_by_its_plan(dsn: str) -> None:
    run(dsn, MANY_ORDERS)
    run(dsn, "vacuum analyze orders_inbox")
    assert not bad(examined(dsn))
    with psycopg.connect(dsn, autocommit=True) as connection:
        name = sql.Identifier(str(conninfo_to_dict(dsn)["dbname"]))
        connection.execute(sql.SQL("alter database {} set enable_indexonlyscan = off").format(name))
    found = the_one(dsn, "plan", "warning")
    assert "reads orders_inbox itself (Index Scan)" in found.sentence
    assert mends(dsn)
