"""The questions that are asked most go by small indexes, however long inbox and ledger grow and however much waits.

Asked twice, before the tables have statistics and with them: a plan that needs them is slow on the first day.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
import pytest

from listener.bell import ASK_SQL
from listener.database import Connection, connect_work
from listener.store.api_calls import TAKE_WHEN_DUE_SQL
from listener.store.import_orders import NEW_NUMBERS_SQL
from listener.store.inbox import CHECK_SQL, CLAIM_SQL, DUE_ROWS_SQL, READ_SQL
from listener.store.ledger import RECORD_SQL
from listener.store.progress import BEAT_SQL, TRIGGERS
from listener.store.recent import NEWEST_ORDERS_SQL, NEWEST_STUCK_SQL
from listener.store.rows import WRITE_ROWS_SQL
from tests.integration.test_statements import numbered
from tests.support.postgres import Cluster

PENDING_INDEX = "idx_orders_inbox_pending"
SETTLED, HELD, DUE, KNOWN = 1_000_000, 5_000, 50, 50_000

# Tables that the log does not hold, and indexes that are built at the end: a million rows in a few seconds.
EMPTY = """
set session_replication_role = replica;
alter table order_items_inbox set unlogged;
alter table shipstation_order_line_items set unlogged;
alter table orders_inbox set unlogged;
alter table listener.ledger set unlogged;
alter table orders_inbox set (autovacuum_enabled = false);
alter table listener.ledger set (autovacuum_enabled = false);
alter table shipped_orders set (autovacuum_enabled = false);
alter table listener.imported_orders set (autovacuum_enabled = false)
"""

INDEXES_SQL = """
select indexrelid::regclass::text, pg_get_indexdef(indexrelid) from pg_index
where indrelid in ('orders_inbox'::regclass, 'listener.ledger'::regclass)
  and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = indexrelid
                  and d.refclassid = 'pg_constraint'::regclass)
"""
KEYS_SQL = """
select conrelid::regclass::text, conname, pg_get_constraintdef(oid) from pg_constraint
where conrelid in ('orders_inbox'::regclass, 'listener.ledger'::regclass) and contype in ('p', 'u') order by contype
"""

FILL = f"""
insert into orders_inbox (order_number, order_date, status, shipstation_order_id)
select 'S-' || n, current_date - 30, case when n % 7 = 0 then 'awaiting_shipment' else 'shipped' end, n::text
from generate_series(1, {SETTLED}) n;
insert into orders_inbox (order_number, order_date, status)
select 'p-' || n, current_date, 'awaiting_shipment' from generate_series(1, {HELD + DUE}) n;
insert into listener.ledger (order_key, order_inbox_id, order_number, state, shipstation_key, row_written, not_before)
select 'S-' || n, n, 'S-' || n, 'accepted', 'listener-S-' || n, true, null from generate_series(1, {SETTLED}) n
union all
select 'P-' || n, {SETTLED} + n, 'p-' || n, 'waiting', 'listener-P-' || n, false, now() + interval '1 day'
from generate_series(1, {HELD}) n;
insert into shipped_orders (ship_date, order_number) select '2024-05-01', 'S-' || n from generate_series(1, {KNOWN}) n;
insert into listener.imported_orders (order_key) select 'S-' || n from generate_series(1, {KNOWN}) n
"""

CLAIM = {"locked": [1, 2], "together": 0, "limit": 100}
ASK = {"locked": [1, 2], "x": 5}
BEAT = {"triggers": list(TRIGGERS), "bodies": list(TRIGGERS.values()), "minutes": "[]", "probe": ""}
OUTCOMES = {
    "epoch": 1,
    "http_status": 200,
    "max_attempts": 5,
    "from_state": "sending",
    "keys": [f"S-{n}" for n in range(100)],
    **{name: [None] * 100 for name in ("states", "shipstation_ids", "row_statuses", "errors", "waits", "refused")},
    **{name: [None] * 100 for name in ("doubts", "batch_limits")},
}
SETTLED_KEYS = {"keys": [f"S-{n}" for n in range(100)]}
BUCKET = {"burst": 20.0, "rate": 0.05, "needed": 1, "endpoint": "a call"}
NEXT = {"locked": [1, 2], "limit": 100}
A_FILE = [[f"x-{n}" for n in range(1000)]]
A_BATCH = [SETTLED + HELD + n for n in range(1, DUE + 1)]

Plan = dict[str, Any]
Parameters = dict[str, Any] | Sequence[Any]


def script(text: str) -> list[bytes]:
    return [statement.encode() for statement in text.split(";")]


def fill(db: Connection) -> None:
    for statement in script(EMPTY):
        db.execute(statement)
    indexes, keys = db.execute(INDEXES_SQL.encode()).fetchall(), db.execute(KEYS_SQL.encode()).fetchall()
    for table, key, _ in keys:
        db.execute(f"alter table {table} drop constraint {key} cascade".encode())
    for index, _ in indexes:
        db.execute(f"drop index {index}".encode())
    for statement in script(FILL):
        db.execute(statement)
    for table, key, definition in keys:
        db.execute(f"alter table {table} add constraint {key} {definition}".encode())
    for _, definition in indexes:
        db.execute(definition.encode())


@pytest.fixture(scope="module")
def full(cluster: Cluster, template: str) -> Iterator[str]:
    """A database with a million settled orders, 5,000 that wait for tomorrow, and 50 that are due."""
    with cluster.database(template) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            fill(connection)
        yield url


@pytest.fixture(scope="module", params=["no statistics", "statistics"])
def shop(request: pytest.FixtureRequest, full: str) -> Iterator[Connection]:
    """A session as the listener has it."""
    with connect_work(full, "plans") as connection:
        connection.prepare_threshold = None
        if request.param == "statistics":
            for table in ("orders_inbox", "listener.ledger", "shipped_orders", "listener.imported_orders"):
                connection.execute(f"vacuum analyze {table}".encode())
        yield connection


def nodes(plan: Plan) -> Iterator[Plan]:
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


def scans(db: Connection, query: str, parameters: Parameters, *, generic: bool) -> list[Plan]:
    """Return how a statement reads the large tables, planned for these values, or for any: a prepared one."""
    if generic:
        values = tuple(in_order_of_use(query, parameters))
        db.execute("set plan_cache_mode = force_generic_plan")
        db.execute(f"prepare asked as {numbered(query)}".encode())
        markers = f"({', '.join(['%s'] * len(values))})" if values else ""
        row = psycopg.ClientCursor(db).execute(f"explain (format json) execute asked {markers}", values).fetchone()
        db.execute("deallocate asked")
        db.execute("reset plan_cache_mode")
    else:
        row = psycopg.ClientCursor(db).execute(f"explain (format json) {query}".encode(), parameters).fetchone()
    assert row is not None
    plan = row[0] if isinstance(row[0], list) else json.loads(row[0])
    large = ("orders_inbox", "ledger", "shipped_orders", "imported_orders")
    return [node for node in nodes(plan[0]["Plan"]) if node.get("Relation Name") in large]


def in_order_of_use(query: str, parameters: Parameters) -> list[Any]:
    if not isinstance(parameters, dict):
        return list(parameters)
    return [parameters[name] for name in sorted(parameters, key=lambda name: query.index(f"%({name})s"))]


def ways(found: list[Plan], table: str) -> set[tuple[str, str | None]]:
    return {(node["Node Type"], node.get("Index Name")) for node in found if node["Relation Name"] == table}


both = pytest.mark.parametrize("generic", [False, True], ids=["custom plan", "generic plan"])


@both
@pytest.mark.parametrize(
    ("query", "parameters"),
    [(CHECK_SQL, {}), (TAKE_WHEN_DUE_SQL, BUCKET), (ASK_SQL, ASK), (DUE_ROWS_SQL, NEXT)],
    ids=["check", "check with a token", "settle's question", "numbers"],
)
def test_whether_an_order_is_due_is_seen_without_touching_a_table(
    shop: Connection, query: str, parameters: Parameters, generic: bool
) -> None:
    found = scans(shop, query, parameters, generic=generic)
    assert ways(found, "orders_inbox") == {("Index Only Scan", PENDING_INDEX)}
    assert ways(found, "ledger") == {("Index Only Scan", "ledger_holds"), ("Index Only Scan", "ledger_in_hand")}


@both
def test_the_claim_reads_no_table_and_no_index_from_end_to_end(shop: Connection, generic: bool) -> None:
    found = scans(shop, CLAIM_SQL, CLAIM, generic=generic)
    assert ("Index Only Scan", PENDING_INDEX) in ways(found, "orders_inbox")
    assert [node for node in found if not {"Index Cond", "Recheck Cond"} & set(node)] == [
        node for node in found if (node["Node Type"], node.get("Index Name")) == ("Index Only Scan", PENDING_INDEX)
    ]


def test_the_claim_looks_nothing_up_for_a_held_row_but_that_it_is_held(shop: Connection) -> None:
    query = f"explain (analyze, format json) {CLAIM_SQL}".encode()
    with shop.transaction(force_rollback=True):
        row = psycopg.ClientCursor(shop).execute(query, CLAIM).fetchone()
    assert row is not None
    loops = {node["Actual Loops"] for node in nodes(row[0][0]["Plan"]) if node.get("Index Name") != "ledger_holds"}
    assert max(loops) == DUE


@both
def test_claimed_orders_are_read_by_probes_of_indexes(shop: Connection, generic: bool) -> None:
    with shop.transaction(force_rollback=True):
        claimed = f"{{{','.join(map(str, A_BATCH))}}}"
        shop.execute("select set_config('listener.claimed', %s, true)", [claimed])
        found = scans(shop, READ_SQL, {}, generic=generic)
        row = shop.execute(f"explain (analyze, format json) {READ_SQL}".encode()).fetchone()
    assert {node["Relation Name"] for node in found} == {"orders_inbox", "ledger", "shipped_orders"}
    assert [node for node in found if not {"Index Cond", "Recheck Cond"} & set(node)] == []
    assert row is not None
    assert row[0][0]["Plan"]["Actual Rows"] == DUE


@both
def test_the_beat_counts_what_is_pending_without_touching_the_table(shop: Connection, generic: bool) -> None:
    found = scans(shop, BEAT_SQL, BEAT, generic=generic)
    allowed = {("Index Only Scan", PENDING_INDEX)}
    if shop.info.server_version < 180000:  # without statistics these read the pages of what is pending as well
        allowed.add(("Bitmap Heap Scan", None))
    assert ways(found, "orders_inbox") <= allowed
    assert not [node for node in found if node["Node Type"] == "Seq Scan"]


@both
@pytest.mark.parametrize("query", [NEWEST_ORDERS_SQL, NEWEST_STUCK_SQL], ids=["newest", "stuck"])
def test_the_page_lists_orders_by_indexes(shop: Connection, query: str, generic: bool) -> None:
    found = scans(shop, query, [20], generic=generic)
    assert found
    assert not [node for node in found if node["Node Type"] == "Seq Scan"]


@both
def test_the_numbers_of_a_file_are_looked_up_in_their_normal_form_by_indexes(shop: Connection, generic: bool) -> None:
    with shop.transaction(force_rollback=True):
        for way in (
            "seqscan",
            "hashjoin",
            "mergejoin",
        ):  # an import's connection is a pooler's, with no settings of ours
            shop.execute(f"set local enable_{way} = on".encode())
        found = scans(shop, NEW_NUMBERS_SQL, A_FILE, generic=generic)
    assert found
    assert not [node for node in found if node["Node Type"] == "Seq Scan"]


@both
@pytest.mark.parametrize(("query", "parameters"), [(RECORD_SQL, OUTCOMES), (WRITE_ROWS_SQL, SETTLED_KEYS)])
def test_outcomes_are_written_by_probes_of_an_index_also_by_a_plan_from_when_there_was_nothing(
    dsn: str, query: str, parameters: Parameters, generic: bool
) -> None:
    with connect_work(dsn, "plans") as young:
        young.execute("vacuum analyze orders_inbox, listener.ledger")
        found = scans(young, query, parameters, generic=generic)
    assert found
    assert not [node for node in found if node["Node Type"] == "Seq Scan"]


def test_a_check_reads_what_is_pending_and_nothing_else(shop: Connection) -> None:
    row = shop.execute(f"explain (analyze, format json) {CHECK_SQL}".encode()).fetchone()
    assert row is not None
    found = [node for node in nodes(row[0][0]["Plan"]) if "Relation Name" in node]
    (pending,) = [node for node in found if node["Relation Name"] == "orders_inbox"]
    assert (pending["Actual Rows"], pending["Rows Removed by Filter"], pending["Actual Loops"]) == (DUE, HELD, 1)
    probes = {node["Index Name"]: node["Actual Loops"] for node in found if node["Relation Name"] == "ledger"}
    assert probes == {"ledger_holds": HELD + DUE, "ledger_in_hand": DUE}, "one probe a row, two when it is due"
    assert not [node for node in found if node["Relation Name"] == "ledger" and node.get("Rows Removed by Filter")]
