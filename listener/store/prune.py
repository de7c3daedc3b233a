"""What we keep, and for how long. Receipts stay for good; the rest is taken away a little at a time.

Each table grows at one end, so what is too old is found at the other: a thousand rows of it are looked at, however long
the table is, and the next thousand another time.
"""

from listener.database import Connection

DAYS_KEPT = {"api_calls": 2, "history": 400, "quarantine": 90}
"""Days by table; a journal's lines have an id and the time `at`."""

MINUTE_DAYS_KEPT = 14

MIRROR_DAYS_KEPT = 200
"""Longer than the first reading goes back, so that what it has brought is not taken away by the first pruning."""

ROWS_AT_A_TIME = 1000
"""Of each table."""

_PRUNE = """
delete from listener.{table} where id in (
    select id from (select id, at from listener.{table} order by id limit {rows}) oldest
    where at < now() - interval '{days} days')
"""
PRUNE_SQL = {table: _PRUNE.format(table=table, days=days, rows=ROWS_AT_A_TIME) for table, days in DAYS_KEPT.items()}

PRUNE_MINUTES_SQL = f"""
delete from listener.minutes where minute in (
    select minute from listener.minutes where minute < now() - interval '{MINUTE_DAYS_KEPT} days'
    order by minute limit {ROWS_AT_A_TIME})
"""

# An order that changes stays, whenever it was made; the order by is that of an index.
PRUNE_MIRROR_SQL = f"""
delete from listener.mirror where shipstation_order_id in (
    select shipstation_order_id from listener.mirror
    where modified_at < now() - interval '{MIRROR_DAYS_KEPT} days' order by modified_at limit {ROWS_AT_A_TIME})
"""

# What a row shows of an order is remembered as long as the order itself.
PRUNE_LINKS_SQL = f"""
delete from listener.links where shipstation_order_id in (
    select shipstation_order_id from listener.links
    where modified_at < now() - interval '{MIRROR_DAYS_KEPT} days' order by modified_at limit {ROWS_AT_A_TIME})
"""


def prune(connection: Connection) -> int:
    """Take away some of what is too old; return how many rows that were."""
    queries = (*PRUNE_SQL.values(), PRUNE_MINUTES_SQL, PRUNE_MIRROR_SQL, PRUNE_LINKS_SQL)
    return sum(connection.execute(query).rowcount for query in queries)
