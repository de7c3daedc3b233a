"""Between heartbeats that are far apart it is noticed that triggers do not stand, or that a bell is no longer heard."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from listener.embedded.postgres import free_port
from listener.embedded.shipstation import ShipStationSimulator
from tests.acceptance.conftest import wait_until_asleep
from tests.support.process import ListenerProcess
from tests.support.shop import Connection, insert_order

OFTEN = """
import listener.schedule as s, listener.transitions as t
s.LOOK_EVERY_SECONDS = t.LOOK_EVERY_SECONDS = 0.2
"""
DEAF_IN_PLACE = """
import listener.daemon as d, listener.ears as e, listener.wake as w
e.PROVE_EVERY_SECONDS, w.ANSWER_SECONDS = 0.1, 0.5
connect = d.connect_listen
def deaf_once(*arguments, **options):
    session = connect(*arguments, **options)
    session._connection.execute("unlisten *")
    d.connect_listen = connect
    return session
d.connect_listen = deaf_once
"""

Start = Callable[[str], ListenerProcess]


@pytest.fixture
def start(dsn: str, shop: Connection, account: ShipStationSimulator, tmp_path: Path) -> Iterator[Start]:
    """Start a listener with a heartbeat of an hour, whose looks come sooner."""
    environment = {
        "DATABASE_URL": dsn,
        "SHIPSTATION_API_KEY": account.api_key,
        "SHIPSTATION_API_SECRET": account.api_secret,
        "SHIPSTATION_BASE_URL": account.url,
        "STATUS_ADDRESS": f"127.0.0.1:{free_port()}",
    }
    with ExitStack() as stack:
        yield lambda first: stack.enter_context(ListenerProcess(("run",), environment, tmp_path, first))


def test_a_trigger_that_is_switched_off_is_degraded_and_no_longer_when_it_is_on_again(
    shop: Connection, start: Start
) -> None:
    process = start(OFTEN)
    process.wait_for("source=heartbeat")
    wait_until_asleep(process)
    for trigger in ("listener_orders_inserted on orders_inbox", "listener_flags_changed on configuration_params"):
        name, _, table = trigger.split()
        shop.execute(f"alter table {table} disable trigger {name}".encode())
        process.wait_status(lambda status, name=name: any(name in reason for reason in status["degraded"]))
        shop.execute(f"alter table {table} enable trigger {name}".encode())
        process.wait_status(lambda status: not status["degraded"])
    assert sum("source=heartbeat" in line for line in process.lines) == 1


def test_a_bell_that_is_no_longer_heard_is_noticed_and_the_next_session_hears(
    shop: Connection, account: ShipStationSimulator, start: Start
) -> None:
    process = start(OFTEN + DEAF_IN_PLACE)
    process.wait_for("did not hear what the work session rang: reconnecting")
    process.wait_for("source=reconnect")
    process.wait_status(lambda status: status["listening"])
    wait_until_asleep(process)
    insert_order(shop, "HEARD-1")
    assert account.wait_for_orders(1, 5)
    assert "METRICS: workflow=upload exists=True count=1" in process.wait_for(".*source=notify").group(0)
