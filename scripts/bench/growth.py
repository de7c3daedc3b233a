"""What a check and a claim cost on a large table, with nothing pending and with 100 orders pending, and after many
updates with and without VACUUM.

    python scripts/bench/growth.py [--sizes 10000,1000000] [--updates 1000000] [--samples 300] [--json]

For each size a database of its own on one server, with so many uploaded orders in `orders_inbox` and in the ledger,
vacuumed. The checks and claims are the product's own functions, on a session with its settings; the databases take
turns, one question each. A claim takes 100 orders and commits; what it wrote is taken back before the next one. The
updates make orders pending and uploaded again, so that each leaves a dead entry where the check looks. Autovacuum is
off. The last large database, of 10,000,000 orders, needs 12 GB of disk for some minutes.
"""

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any

import psycopg
from figures import Table, percentile, print_tables
from stage import Connection, shop

from listener.database import connect_work
from listener.flags import Flags
from listener.install import install
from listener.store.inbox import inbox_has_due
from listener.workflows.claim_orders import claim_orders

ROWS = """
insert into orders_inbox (order_number, order_date, status, shipstation_order_id, total_items, ship_name, ship_street1,
                          ship_city, ship_country)
select 'G' || n, current_date, case when n %% 10 = 0 then 'uploaded' else 'shipped' end, n::text, 1, 'Ada Example',
       '1 Way', 'Town', 'CA'
from generate_series(%(first)s::integer, %(last)s::integer) n
"""
LEDGER = """
insert into listener.ledger (order_key, order_inbox_id, order_number, state, shipstation_key, shipstation_order_id,
                             started_at, settled_at, http_status, row_status, row_written)
select 'G' || n, n, 'G' || n, 'accepted', 'listener-G' || n, n::text, now(), now(), 200, 'uploaded', true
from generate_series(%(first)s::integer, %(last)s::integer) n
"""
PENDING = """
with o as (
    insert into orders_inbox (order_number, order_date, status, ship_name, ship_street1, ship_city, ship_country)
    select 'P' || n, current_date, 'awaiting_shipment', 'Ada Example', '1 Way', 'Town', 'CA'
    from generate_series(1, 100) n returning id)
insert into order_items_inbox (order_inbox_id, sku, quantity) select id, '17001', 1 from o
"""
TAKE_BACK = "delete from listener.ledger where state = 'sending'"
UPDATES = (
    "update orders_inbox set status = 'awaiting_shipment', shipstation_order_id = null where id between %s and %s",
    "update orders_inbox set status = 'uploaded', shipstation_order_id = id::text where id between %s and %s",
)
SIZE = "select pg_relation_size('idx_orders_inbox_pending') / 1048576.0"
AT_ONCE = 100_000
"""Rows of one statement while a table is filled."""
AT_A_TIME = 1000
"""Rows of one transaction of the updates."""
CLAIMS = 30
SETTINGS = {
    "fsync": "on",
    "autovacuum": "off",
    "shared_buffers": "512MB",
    "max_wal_size": "4GB",
    "maintenance_work_mem": "256MB",
}


@dataclass(frozen=True)
class Inbox:
    """A database with so many orders, and an operator who writes as nobody's trigger sees."""

    orders: int
    url: str
    operator: Connection

    def fill(self) -> None:
        for first in range(1, self.orders + 1, AT_ONCE):
            rows = {"first": first, "last": min(first + AT_ONCE - 1, self.orders)}
            self.operator.execute(ROWS, rows)
            self.operator.execute(LEDGER, rows)
        self.rest()

    def rest(self) -> None:
        self.operator.execute("vacuum analyze")

    def update(self, updates: int) -> None:
        for first in range(1, updates // len(UPDATES) + 1, AT_A_TIME):
            for update in UPDATES:
                self.operator.execute(update.encode(), [first, first + AT_A_TIME - 1])


def inboxes(stack: ExitStack, sizes: Sequence[int]) -> list[Inbox]:
    """Make a database of each size on one server."""
    postgres, _, admin = stack.enter_context(shop(SETTINGS))
    made = []
    for orders in sizes:
        admin.execute(f"create database shop_{orders}".encode())
        url = postgres.url(f"shop_{orders}")
        install(url, base_tables=True)
        operator = stack.enter_context(psycopg.connect(url, autocommit=True))
        operator.execute("set session_replication_role = replica")
        operator.execute("set statement_timeout = 0")
        made.append(Inbox(orders, url, operator))
        made[-1].fill()
    admin.execute("checkpoint")
    return made


def check_ms(connection: Connection) -> float:
    began = time.perf_counter()
    inbox_has_due(connection)
    return (time.perf_counter() - began) * 1000


def checks(made: Sequence[Inbox], samples: int) -> dict[str, list[float]]:
    """Check each inbox in turn; return milliseconds by size."""
    with ExitStack() as stack:
        sessions = [stack.enter_context(closing(connect_work(inbox.url, "bench"))) for inbox in made]
        for _ in range(10):
            for session in sessions:
                check_ms(session)
        taken = [[check_ms(session) for session in sessions] for _ in range(samples)]
    by_inbox = zip(*taken, strict=True)
    return {str(inbox.orders): [round(ms, 4) for ms in values] for inbox, values in zip(made, by_inbox, strict=True)}


def claim_ms(inbox: Inbox, session: Connection) -> float:
    began = time.perf_counter()
    claim = claim_orders(session, 0, Flags(), 100, [], together=None, knows=lambda _: True)
    took = (time.perf_counter() - began) * 1000
    if len(claim.to_send) != 100:
        raise SystemExit(f"a claim took {len(claim.to_send)} of 100 orders")
    inbox.operator.execute(TAKE_BACK)
    return took


def claims(made: Sequence[Inbox], samples: int) -> dict[str, list[float]]:
    """Claim 100 orders from each inbox in turn; return milliseconds by size."""
    with ExitStack() as stack:
        sessions = [stack.enter_context(closing(connect_work(inbox.url, "bench"))) for inbox in made]
        taken = [[claim_ms(*pair) for pair in zip(made, sessions, strict=True)] for _ in range(samples)]
    by_inbox = zip(*taken[2:], strict=True)
    return {str(inbox.orders): [round(ms, 3) for ms in values] for inbox, values in zip(made, by_inbox, strict=True)}


def bloat(inbox: Inbox, updates: int, samples: int) -> dict[str, Any]:
    """Return what a check costs after so many updates: the first one, those that follow, and after a VACUUM."""
    inbox.update(updates)
    with closing(connect_work(inbox.url, "bench")) as session:
        first = check_ms(session)
    size = inbox.operator.execute(SIZE).fetchone() or (0,)
    bloated = checks([inbox], samples)[str(inbox.orders)]
    inbox.rest()
    vacuumed = checks([inbox], samples)[str(inbox.orders)]
    told = {"first_ms": round(first, 3), "bloated_ms": bloated, "vacuumed_ms": vacuumed}
    return {"orders": inbox.orders, "updates": updates, "index_mb": round(float(size[0]), 1), **told}


def measure(sizes: Sequence[int], updates: int, samples: int) -> dict[str, Any]:
    with ExitStack() as stack:
        made = inboxes(stack, sizes)
        empty = checks(made, samples)
        for inbox in made:
            inbox.operator.execute(PENDING)
        pending, claimed = checks(made, samples), claims(made, CLAIMS)
        for inbox in made:
            inbox.operator.execute("delete from orders_inbox where order_number like 'P%'")
            inbox.rest()
        subject = max((inbox for inbox in made if inbox.orders <= 1_000_000), key=lambda inbox: inbox.orders)
        told = {"server": SETTINGS, "empty": empty, "pending": pending, "claim": claimed}
        return told | {"bloat": bloat(subject, updates, samples)}


def tables(result: dict[str, Any]) -> list[Table]:
    return [_sizes(result), _bloat(result["bloat"])]


def _sizes(result: dict[str, Any]) -> Table:
    header = ["orders in the inbox", "check: none pending", "p99", "100 pending", "p99", "claim of 100", "p99 of 28"]
    rows = []
    for size in result["empty"]:
        kinds = [result[kind][size] for kind in ("empty", "pending", "claim")]
        cells = [f"{percentile(values, p):.2f}" for values in kinds for p in (50, 99)]
        rows.append([f"{int(size):,}", *cells])
    return Table("a check and a claim by the table's size; milliseconds, p50 and p99", header, rows)


def _bloat(result: dict[str, Any]) -> Table:
    title = f"a check on {result['orders']:,} orders after {result['updates']:,} updates; milliseconds"
    rows = [
        ["no VACUUM, the first check", f"{result['first_ms']:.2f}", "-"],
        ["no VACUUM, those after it", *_marks(result["bloated_ms"])],
        ["after VACUUM", *_marks(result["vacuumed_ms"])],
    ]
    return Table(f"{title}; the pending index had {result['index_mb']:.0f} MB", ["", "p50", "p99"], rows)


def _marks(values: Sequence[float]) -> list[str]:
    return [f"{statistics.median(values):.2f}", f"{percentile(values, 99):.2f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="10000,1000000", help="numbers of orders, with commas between")
    parser.add_argument("--updates", type=int, default=1_000_000)
    parser.add_argument("--samples", type=int, default=300)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    sizes = [int(size) for size in options.sizes.split(",")]
    result = measure(sizes, options.updates, options.samples)
    print(json.dumps(result)) if options.json else print_tables(tables(result))


if __name__ == "__main__":
    main()
