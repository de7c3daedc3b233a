"""The questions that are asked most read the few pending rows by their own index, however long the inbox grows."""

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from listener.bell import ASK_SQL
from listener.database import Connection
from listener.store.inbox import CHECK_SQL, CLAIM_SQL
from listener.store.progress import BEAT_SQL, TRIGGERS
from tests.integration.test_statements import numbered
from tests.support.postgres import Cluster

PENDING_INDEX = "idx_orders_inbox_pending"
SETTLED_ROWS, PENDING_ROWS, HOLDS = 200_000, 50, 5_000

FILL = f"""
insert into orders_inbox (order_number, order_date, status, shipstation_order_id)
select 'S-' || n, current_date - 30, case when n % 7 = 0 then 'awaiting_shipment' else 'shipped' end, n::text
from generate_series(1, {SETTLED_ROWS}) n;
insert into orders_inbox (order_number, order_date, status)
select 'P-' || n, current_date, 'awaiting_shipment' from generate_series(1, {PENDING_ROWS}) n;
insert into listener.ledger (order_key, order_inbox_id, order_number, state, shipstation_key, not_before)
select 'H-' || n, 1000000 + n, 'h-' || n, 'waiting', 'listener-H-' || n, now() + interval '1 day'
from generate_series(1, {HOLDS}) n
"""

CLAIM = {"locked": [1, 2], "limit": 100}
ASK = {"locked": [1, 2], "x": 5}
BEAT = {"triggers": list(TRIGGERS), "bodies": list(TRIGGERS.values())}

Plan = dict[str, Any]


@pytest.fixture(scope="module")
def long_inbox(cluster: Cluster, template: str) -> Iterator[Connection]:
    """200,050 orders, of which 50 are pending; nobody writes to it."""
    with cluster.database(template) as url, psycopg.connect(url, autocommit=True) as connection:
        for statement in FILL.split(";"):
            connection.execute(statement.encode())
        connection.execute("vacuum analyze orders_inbox")
        connection.execute("vacuum analyze listener.ledger")
        yield connection


def nodes(plan: Plan) -> Iterator[Plan]:
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


def scans(db: Connection, query: str, parameters: dict[str, Any], *, generic: bool) -> list[Plan]:
    """Return how a statement reads the inbox, planned for these values, or for any: a prepared one."""
    explain, values = f"explain (format json) {query}".encode(), tuple(parameters.values())
    if generic:
        db.execute("set plan_cache_mode = force_generic_plan")
        db.execute(f"prepare asked as {numbered(query)}".encode())
        markers = ", ".join(["%s"] * len(values))
        row = psycopg.ClientCursor(db).execute(f"explain (format json) execute asked ({markers})", values).fetchone()
        db.execute("deallocate asked")
        db.execute("reset plan_cache_mode")
    else:
        row = psycopg.ClientCursor(db).execute(explain, parameters).fetchone()
    assert row is not None
    plan = row[0] if isinstance(row[0], list) else json.loads(row[0])
    return [node for node in nodes(plan[0]["Plan"]) if node.get("Relation Name") == "orders_inbox"]


def in_order_of_use(query: str, parameters: dict[str, Any]) -> dict[str, Any]:
    return dict(sorted(parameters.items(), key=lambda pair: query.index(f"%({pair[0]})s")))


@pytest.mark.parametrize(
    ("query", "parameters", "generic"),
    [(CHECK_SQL, {}, False), (ASK_SQL, ASK, False), (ASK_SQL, ASK, True)],
    ids=["check", "ask, custom plan", "ask, generic plan"],
)
def test_the_check_and_the_settles_question_never_touch_the_table(
    long_inbox: Connection, query: str, parameters: dict[str, Any], generic: bool
) -> None:
    found = scans(long_inbox, query, in_order_of_use(query, parameters), generic=generic)
    assert found
    assert {(node["Node Type"], node["Index Name"]) for node in found} == {("Index Only Scan", PENDING_INDEX)}


@pytest.mark.parametrize("generic", [False, True], ids=["custom plan", "generic plan"])
def test_the_claim_finds_due_rows_by_the_index_and_locks_no_more_than_these(
    long_inbox: Connection, generic: bool
) -> None:
    found = scans(long_inbox, CLAIM_SQL, in_order_of_use(CLAIM_SQL, CLAIM), generic=generic)
    assert not [node for node in found if node["Node Type"] == "Seq Scan"]
    due, *others = found
    assert (due["Alias"], due["Node Type"], due["Index Name"]) == ("o", "Index Only Scan", PENDING_INDEX)
    assert {node["Alias"] for node in others} == {"o_1", "other"}
    assert all(node.get("Index Name") in (PENDING_INDEX, "orders_inbox_pkey") for node in others)


def test_the_beat_counts_what_is_pending_without_touching_the_table(long_inbox: Connection) -> None:
    found = scans(long_inbox, BEAT_SQL, BEAT, generic=False)
    assert {(node["Node Type"], node["Index Name"]) for node in found} == {("Index Only Scan", PENDING_INDEX)}


def test_a_check_reads_a_few_dozen_pages(long_inbox: Connection) -> None:
    long_inbox.execute(CHECK_SQL.encode())
    row = long_inbox.execute(f"explain (analyze, buffers, format json) {CHECK_SQL}".encode()).fetchone()
    assert row is not None
    plan = row[0][0]["Plan"]
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 400
    (top,) = [node for node in nodes(plan) if node.get("Relation Name") == "orders_inbox" and node["Actual Rows"] > 1]
    assert (top["Actual Rows"], top["Heap Fetches"]) == (PENDING_ROWS, 0)
