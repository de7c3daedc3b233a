"""Whoever may connect to the database may notify our channels, as often as they like and with any payload.

That costs looks, which find nothing: some at once, the others ten a second at most. Nothing else happens.
"""

import re
from pathlib import Path

import psycopg

from listener.embedded.shipstation import ShipStationSimulator
from tests.acceptance.conftest import wait_until_asleep
from tests.support.process import ListenerProcess
from tests.support.shop import Connection, insert_order, row_of, value_of
from tests.support.wait import eventually

CHANNELS = ("orders_inbox", "configuration_params", "workflow_controls", "listener_leader")
TRANSACTIONS, IN_EACH = 10, 1000
NOTIFICATIONS = len(CHANNELS) * TRANSACTIONS * IN_EACH

# Payloads of one transaction must differ, or the server sends one of them.
PAYLOADS = (
    "'{' || n",
    "repeat('[', 7900) || n",
    "repeat(chr(128512), 1990) || n",
    '\'{"parameter_name": "sync_interval", "value": "\' || n || \'"}\'',
    "'sync_interval = 10; drop table orders_inbox; --' || n",
)
FLOOD = "select pg_catalog.pg_notify(%s, {payload}) from generate_series(1, %s) n"


def memory(process: ListenerProcess) -> int:
    """Return the resident memory in MB."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) // 1024


def test_a_flood_of_forged_bells_stops_no_order_and_makes_nothing_grow(
    dsn: str, shop: Connection, account: ShipStationSimulator, asleep: ListenerProcess
) -> None:
    shop.execute("create role stranger login")
    try:
        before, settings, begin = memory(asleep), asleep.status()["flags"], asleep.mark()
        with psycopg.connect(dsn.replace("postgres@", "stranger@"), autocommit=True) as stranger:
            for turn in range(TRANSACTIONS):
                for channel in CHANNELS:
                    query = FLOOD.format(payload=PAYLOADS[turn % len(PAYLOADS)]).encode()
                    stranger.execute(query, [channel, IN_EACH])
                insert_order(shop, f"AMID-{turn}")
        assert account.wait_for_orders(TRANSACTIONS, 15)
        eventually(lambda: row_of(shop, f"AMID-{TRANSACTIONS - 1}")[0], lambda status: status == "uploaded")
        wait_until_asleep(asleep)
        assert asleep.status()["flags"] == settings
        assert memory(asleep) - before < 20
        lines = asleep.lines[begin:]
        assert len(lines) < NOTIFICATIONS / 100
        assert all("The bell rings again and again" in line for line in lines if " INFO " not in line)
        assert value_of(shop, "select count(*) from listener.config_log") == 0
    finally:
        shop.execute("drop role stranger")


COUNT_READS = """
create sequence reads;
create function counted() returns boolean language sql volatile as 'select nextval(''public.reads'') > 0';
alter table workflow_controls rename to controls;
create view workflow_controls as select * from (select * from controls limit 1) one where counted();
"""


def test_of_thousands_of_bells_for_the_settings_a_few_are_answered(shop: Connection, asleep: ListenerProcess) -> None:
    shop.execute(COUNT_READS.encode())
    for _ in range(20):
        shop.execute(FLOOD.format(payload="n::text").encode(), ["configuration_params", IN_EACH])
    shop.execute("update configuration_params set value = '180' where parameter_name = 'sync_interval'")
    asleep.wait_status(lambda status: status["flags"]["sync_interval"] == 180)
    assert 1 <= value_of(shop, "select last_value from reads") <= 100
