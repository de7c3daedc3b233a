"""Two hosts, and a leader whose network goes away: the other takes over, and no order goes twice."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from listener.embedded.shipstation import ShipStationSimulator
from listener.install import install
from tests.support.hosts import Host, network, server_on
from tests.support.process import ListenerProcess
from tests.support.proxy import TcpProxy
from tests.support.shop import Connection, insert_order, only_the_bell, row_of, switch, value_of
from tests.support.wait import eventually

CREATE = "/orders/createorders"
LISTENING = "select count(*) from pg_stat_activity where application_name like 'listener %% listen'"
TIME_PASSES = """
update listener.ledger set started_at = started_at - interval '1 minute', not_before = now() where state = 'unknown'
"""


class Scene:
    """A database and a ShipStation that two hosts reach, and nobody else."""

    def __init__(self, stack: ExitStack, account: ShipStationSimulator) -> None:
        self.account = account
        self._stack = stack
        net = stack.enter_context(network())
        self.hosts = [net.host(number) for number in (1, 2)]
        server = stack.enter_context(server_on(net))
        install(server.url(), base_tables=True)
        self.shop: Connection = stack.enter_context(psycopg.connect(server.url(), autocommit=True))
        only_the_bell(self.shop)
        switch(self.shop, "unified-shipstation-sync", on=False)
        way = stack.enter_context(TcpProxy(account.port, net.address))
        self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        self._environment = {
            "DATABASE_URL": make_conninfo(server.url(), host=net.address),
            "SHIPSTATION_API_KEY": account.api_key,
            "SHIPSTATION_API_SECRET": account.api_secret,
            "SHIPSTATION_BASE_URL": f"http://{net.address}:{way.port}",
            "STATUS_ADDRESS": "127.0.0.1:8750",
        }

    def run_on(self, host: Host) -> ListenerProcess:
        """Start a listener there."""
        process = ListenerProcess(("run",), self._environment, self._folder, inside=host.inside)
        return self._stack.enter_context(process)

    def status_on(self, host: Host) -> dict[str, Any]:
        """Return what `listener status` says there."""
        arguments = ("status", "--json")
        with ListenerProcess(arguments, self._environment, self._folder, inside=host.inside) as command:
            command.wait()
            return dict(json.loads("\n".join(command.output)))

    def assert_once(self, *numbers: str) -> None:
        for number in numbers:
            row = eventually(lambda number=number: self._shown(number), lambda row: row[0] == "uploaded", timeout=15)
            assert [str(order["orderId"]) for order in self.account.order_by_number(number)] == [row[1]]

    def _shown(self, number: str) -> tuple[str, ...]:
        self.shop.execute(TIME_PASSES)
        self.shop.execute("notify orders_inbox")
        return row_of(self.shop, number)


@pytest.fixture
def scene(account: ShipStationSimulator) -> Iterator[Scene]:
    with ExitStack() as stack:
        yield Scene(stack, account)


@pytest.fixture
def account(shipstation: ShipStationSimulator) -> ShipStationSimulator:
    shipstation.limit_per_minute = None
    return shipstation


def test_a_leader_whose_network_goes_away_is_replaced_and_stands_by_when_it_comes_back(scene: Scene) -> None:
    here, there = scene.hosts
    first = scene.run_on(here)
    first.wait_for(r"Leading \(epoch 1")
    second = scene.run_on(there)
    eventually(lambda: value_of(scene.shop, LISTENING), lambda n: n == 2, timeout=10)
    insert_order(scene.shop, "NET-1")
    scene.assert_once("NET-1")
    hold = scene.account.hold(path=CREATE, times=1)
    insert_order(scene.shop, "NET-2")
    assert hold.arrived.wait(5)
    here.pull_the_cable()
    insert_order(scene.shop, "NET-3")
    second.wait_for(r"Leading \(epoch 2, 1 orders in doubt", 30)
    eventually(lambda: value_of(scene.shop, LISTENING), lambda n: n == 1, timeout=30)
    scene.assert_once("NET-2", "NET-3")
    hold.release()  # the first one's request arrives only now
    here.plug_it_in()
    first.wait_for("The work session was lost", 60)
    told = eventually(lambda: scene.status_on(here), lambda status: status["leader"], timeout=20)
    assert (told["role"], told["leader"]["pid"], told["leader"]["epoch"]) == ("standby", second.pid, 2)
    insert_order(scene.shop, "NET-4")
    scene.assert_once("NET-2", "NET-3", "NET-4")
    assert second.stop() == 0
    first.wait_for(r"Leading \(epoch 3", 30)
    insert_order(scene.shop, "NET-5")
    scene.assert_once("NET-5")
    assert first.stop() == 0
    assert scene.account.order_count == 5
