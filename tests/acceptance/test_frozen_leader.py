"""A leader that stood still and lost its session never sends again: its epoch is over, and another leads.

Two listeners run throughout. Each test stops the one that leads at a point of its work, has the server end its session,
lets the other take over, and wakes the first: it stands by, and is the one that takes over in the next test.
"""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from listener.embedded.postgres import free_port
from listener.embedded.shipstation import ShipStationSimulator
from tests.support.freeze import stop, stop_at, wait_until_stopped, wake, watching
from tests.support.postgres import Cluster
from tests.support.process import ListenerProcess
from tests.support.shop import Connection, insert_order, only_the_bell, row_of, switch, value_of
from tests.support.wait import eventually

CREATE = "/orders/createorders"

BEFORE_THE_CLAIM = "listener.workflows.claim_orders:inbox.claim_due_rows"
IN_THE_CLAIM = "listener.workflows.claim_orders:ledger.claim"
AFTER_THE_CLAIM = "listener.workflows.send_batch:encode"
AT_THE_DOOR = "urllib3.connection:HTTPConnection.connect"
IN_THE_RECORD = "listener.workflows.send_batch:ledger.record"
IN_THE_ROWS = "listener.workflows.show_outcomes:rows.write_rows"
POINTS = (BEFORE_THE_CLAIM, IN_THE_CLAIM, AFTER_THE_CLAIM, AT_THE_DOOR, IN_THE_RECORD, IN_THE_ROWS)

END_ITS_SESSION = "select pg_terminate_backend(pid) from listener.leader"
TIME_PASSES = """
update listener.ledger set started_at = started_at - interval '1 minute', not_before = now() where state = 'unknown'
"""


class Pair:
    """Two listeners of one database, and who of them leads."""

    def __init__(self, shop: Connection, url: str, account: ShipStationSimulator, folder: Path) -> None:
        self.shop, self.account, self.folder = shop, account, folder
        environment = {
            "DATABASE_URL": url,
            "SHIPSTATION_API_KEY": account.api_key,
            "SHIPSTATION_API_SECRET": account.api_secret,
            "SHIPSTATION_BASE_URL": account.url,
        }
        self.processes = [
            ListenerProcess(
                ("run",), environment | {"STATUS_ADDRESS": f"127.0.0.1:{free_port()}"}, folder, watching(*POINTS)
            )
            for _ in range(2)
        ]

    def leader_and_other(self) -> tuple[ListenerProcess, ListenerProcess]:
        """Return the two when one leads and is at rest, and the other stands by."""
        eventually(lambda: sorted(map(_role, self.processes)), lambda roles: roles == ["leader", "standby"], timeout=10)
        leader, other = sorted(self.processes, key=_role)
        leader.wait_status(lambda status: status["workflows"]["shipstation-upload"]["state"] == "asleep")
        return leader, other

    def sent(self, number: str) -> int:
        """Return how many requests to make this order have come."""
        posts = [request.body for request in self.account.requests if request.path == CREATE]
        return sum(order["orderNumber"] == number for body in posts for order in body)

    def take_over(self, other: ListenerProcess, number: str) -> int:
        """End the session of the leader, who stands still, and let the other finish the order.

        Returns how many requests to make it have come then.
        """
        place, epoch = other.mark(), value_of(self.shop, "select epoch from listener.leader")
        self.shop.execute(END_ITS_SESSION)
        other.wait_for(rf"Leading \(epoch {epoch + 1}", after=place)
        eventually(lambda: self._shown(number), timeout=10)
        return self.sent(number)

    def assert_stands_by_after_waking(self, leader: ListenerProcess, other: ListenerProcess) -> None:
        place = leader.mark()
        wake(leader)
        leader.wait_for("The work session was lost", after=place)
        assert self.leader_and_other() == (other, leader)

    def _shown(self, number: str) -> bool:
        self.shop.execute(TIME_PASSES)
        self.shop.execute("notify orders_inbox")
        return bool(row_of(self.shop, number)[0] == "uploaded")

    def assert_once(self, number: str) -> None:
        """The order is there once, and its row says so."""
        there = [str(order["orderId"]) for order in self.account.order_by_number(number)]
        assert there == [row_of(self.shop, number)[1]]


def _role(process: ListenerProcess) -> str:
    try:
        return str(process.status()["role"])
    except OSError:
        return ""


@pytest.fixture(scope="module")
def pair(cluster: Cluster, template: str) -> Iterator[Pair]:
    with ExitStack() as stack:
        url = stack.enter_context(cluster.database(template))
        account = stack.enter_context(ShipStationSimulator())
        account.limit_per_minute = None
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        shop = stack.enter_context(psycopg.connect(url, autocommit=True))
        only_the_bell(shop)
        switch(shop, "unified-shipstation-sync", on=False)
        pair = Pair(shop, url, account, folder)
        for process in pair.processes:
            stack.enter_context(process)
        yield pair
    for process in pair.processes:
        print(f"--- log of listener process {process.pid} ---", *process.lines, sep="\n")


@pytest.mark.parametrize("point", POINTS)
def test_a_leader_that_stood_still_and_lost_its_session_sends_nothing_more(pair: Pair, point: str) -> None:
    leader, other = pair.leader_and_other()
    number = f"FROZEN-{POINTS.index(point)}"
    if point == AT_THE_DOOR:
        pair.account.stop()  # and with it the connections that are kept
        pair.account.start()
    stop_at(pair.folder, point)
    insert_order(pair.shop, number)
    wait_until_stopped(leader)
    assert pair.take_over(other, number) == 1
    pair.assert_stands_by_after_waking(leader, other)
    assert pair.sent(number) == 1
    pair.assert_once(number)


@pytest.mark.parametrize(("when", "requests"), [("before", 2), ("after", 1)])
def test_a_leader_that_stood_still_with_its_request_under_way_sends_no_other(
    pair: Pair, when: str, requests: int
) -> None:
    leader, other = pair.leader_and_other()
    number = f"UNDER-WAY-{when}"
    hold = pair.account.hold(path=CREATE, when=when, times=1)
    insert_order(pair.shop, number)
    assert hold.arrived.wait(5)
    stop(leader)
    assert pair.take_over(other, number) == requests, "what is not there is sent again, by the one that leads"
    hold.release()
    pair.assert_stands_by_after_waking(leader, other)
    assert pair.sent(number) == requests
    pair.assert_once(number)
