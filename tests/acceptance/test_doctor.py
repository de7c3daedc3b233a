"""`listener doctor` as somebody types it: beside a running listener, and into a pipe."""

import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg

from listener.embedded.postgres import find_binaries
from listener.embedded.shipstation import ShipStationSimulator
from tests.acceptance.conftest import wait_until_asleep
from tests.acceptance.test_commands import listener
from tests.support.bell import role
from tests.support.doctor import bad, examined, mend
from tests.support.process import ListenerProcess
from tests.support.shop import Connection, insert_order, set_flag, value_of
from tests.support.wait import eventually

BROKEN = """
alter table orders_inbox disable trigger listener_orders_inserted;
drop trigger listener_flags_deleted on configuration_params;
drop index idx_orders_inbox_pending;
drop index listener.ledger_holds;
drop table listener.quarantine;
delete from workflow_controls;
insert into configuration_params (category, parameter_name, value) values ('Polling', 'idle_after', '600');
update configuration_params set value = 'much' where parameter_name = 'api_calls_per_hour'
"""


def test_what_is_broken_is_mended_by_the_pipe(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as vandal:
        vandal.execute("select pg_advisory_lock(1818850164, 1)")
        for statement in BROKEN.split(";"):
            vandal.execute(statement.encode())
        assert listener("doctor", DATABASE_URL=dsn, STATUS_ADDRESS="off").returncode == 1
        psql = [str(find_binaries() / "psql"), dsn, "-X", "-q", "-v", "ON_ERROR_STOP=1"]
        pipe = f"{shlex.quote(sys.executable)} -m listener.cli doctor --sql | {shlex.join(psql)}"
        environment = {"PATH": "/usr/bin:/bin", "DATABASE_URL": dsn, "PYTHONPATH": str(Path(__file__).parents[2])}
        piped = subprocess.run(["sh", "-c", pipe], env=environment, capture_output=True, text=True, check=False)
        assert piped.returncode == 0, piped.stderr
        vandal.close()
    done = listener("doctor", DATABASE_URL=dsn, STATUS_ADDRESS="off")
    assert done.returncode == 0, done.stdout
    assert "nothing is wrong" in done.stdout


def test_with_no_more_privileges_than_it_asks_for_an_order_arrives(
    dsn: str,
    shop: Connection,
    account: ShipStationSimulator,
    listener_process: Callable[..., ListenerProcess],
) -> None:
    with role(dsn, "worker", "select") as url:
        mend(dsn, bad(examined(url, "privileges")))
        process = listener_process(url)
        insert_order(shop, "1001")
        assert account.wait_for_orders(1, timeout=10), process.log
        query = "select status from orders_inbox"
        eventually(lambda: value_of(shop, query), lambda status: status == "uploaded")
        assert process.stop() == 0
    assert not [line for line in process.lines if " WARNING " in line or " ERROR " in line]


def test_beside_a_healthy_listener_it_finds_nothing_and_says_who_leads(
    dsn: str, shop: Connection, account: ShipStationSimulator, asleep: ListenerProcess
) -> None:
    set_flag(shop, "fast_polling_interval", "15")
    asleep.wait_for("fast_polling_interval 3600 -> 15")
    wait_until_asleep(asleep)
    keys = {"SHIPSTATION_API_KEY": account.api_key, "SHIPSTATION_API_SECRET": account.api_secret}
    page = {"SHIPSTATION_BASE_URL": account.url, "STATUS_ADDRESS": asleep.status_address}
    done = listener("doctor", DATABASE_URL=dsn, **keys, **page)
    assert done.returncode == 0, done.stdout
    text = " ".join(done.stdout.split())
    assert "nothing is wrong" in text, done.stdout
    assert "leads since" in text
    assert "ShipStation takes our key" in text
    assert f"the listener at {asleep.status_address} (leader) has nothing to complain of" in text
    assert account.api_secret not in done.stdout
