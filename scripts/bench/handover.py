"""How soon a standby leads: after a clean exit of the leader, its SIGKILL, its SIGSTOP, and a network that went away.

    python scripts/bench/handover.py [--samples 20] [--pulls 10] [--freezes 2]

Two listeners stand on two hosts of their own, network namespaces with a cable each, as in the tests (root, Linux and
iproute2; elsewhere on this one, and no cable is pulled). Takeover is from the signal, or the pull, to the beginning of
the next epoch, by the server's clock; `order` to the arrival at ShipStation of an order that is committed right after
it. Everything shares this machine's cores.
"""

import argparse
import contextlib
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

sys.path.insert(0, str(Path(__file__).parents[2]))

from stage import Connection, open_wide, set_flag, shop, wait_until

from listener.embedded.shipstation import ShipStationSimulator
from listener.install import install
from tests.support.hosts import Host, Network, server_on, why_no_hosts
from tests.support.proxy import TcpProxy

ORDER = """
with o as (
    insert into orders_inbox (order_number, order_date, status, ship_name, ship_street1, ship_city, ship_country)
    values (%s, current_date, 'awaiting_shipment', 'Ada Example', '1 Way', 'Town', 'CA') returning id)
insert into order_items_inbox (order_inbox_id, sku, quantity) select id, '17001', 1 from o
"""
SETTLED = """
select 1 where (select count(*) from pg_stat_activity where application_name like 'listener % work') = 2
    and (select count(*) from pg_stat_activity where application_name like 'listener % listen') = 2
    and exists (select from pg_locks where locktype = 'advisory' and objid = 2 and mode = 'ExclusiveLock')
    and not exists (select from pg_locks where locktype = 'advisory' and objid = 1)
"""


@dataclass
class Place:
    """Where one of the two runs. `host`: None for this machine."""

    host: Host | None
    environment: dict[str, str]
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [*(self.host.inside if self.host else ()), sys.executable, "-m", "listener.cli", "run"]
        self.process = subprocess.Popen(
            command, env={**os.environ, **self.environment}, stderr=subprocess.DEVNULL, cwd=tempfile.gettempdir()
        )

    def tell(self, how: signal.Signals) -> None:
        assert self.process is not None  # noqa: S101  it was started
        self.process.send_signal(how)


class Scene:
    """The two, what they share, and how often somebody has taken over."""

    def __init__(self, operator: Connection, account: ShipStationSimulator, places: list[Place]) -> None:
        self._operator, self._account, self._places = operator, account, places
        self._orders = 0

    def start(self) -> None:
        for place in self._places:
            place.start()
        wait_until(self._operator, SETTLED)

    def leader(self) -> Place:
        (pid,) = self._operator.execute("select process_id from listener.leader").fetchone() or (None,)
        return next(place for place in self._places if place.process and place.process.pid == pid)

    def handover(self, how: Callable[[Place], None], back: Callable[[Place], None]) -> tuple[float, float]:
        """Take the leader away; return seconds to the next epoch and to an order's arrival. Then bring it back."""
        wait_until(self._operator, SETTLED)
        leader, (epoch,) = self.leader(), self._operator.execute("select epoch from listener.leader").fetchone() or (0,)
        (began,) = self._operator.execute("select clock_timestamp()").fetchone() or (None,)
        how(leader)
        self._orders += 1
        self._operator.execute(ORDER, [f"H{self._orders}"])
        since = wait_until(self._operator, f"select since from listener.leader where epoch > {epoch}")
        if not self._account.wait_for_orders(self._orders, 60):
            raise SystemExit("the order did not arrive within 60 s")
        arrived = next(r for r in self._account.requests[::-1] if r.method == "POST").received_at
        back(leader)
        return (since - began).total_seconds(), arrived - began.timestamp()


def start_again(place: Place) -> None:
    assert place.process is not None  # noqa: S101  it was started
    place.process.wait(20)
    place.start()


def pull(place: Place) -> None:
    assert place.host is not None  # noqa: S101  asked for on a network alone
    place.host.pull_the_cable()


def plug(place: Place) -> None:
    assert place.host is not None  # noqa: S101  as above
    place.host.plug_it_in()


@contextlib.contextmanager
def scene() -> Iterator[Scene]:
    with contextlib.ExitStack() as stack:
        account = stack.enter_context(ShipStationSimulator())
        account.limit_per_minute = None
        url, address, hosts, port = _ground(stack, account.port)
        operator = stack.enter_context(psycopg.connect(url, autocommit=True))
        set_flag(operator, "fast_polling_interval", "3600")
        operator.execute(
            "update workflow_controls set enabled = false where workflow_name = 'unified-shipstation-sync'"
        )
        open_wide(operator)
        environment = {
            "DATABASE_URL": make_conninfo(url, host=address),
            "STATUS_ADDRESS": "off",
            "SHIPSTATION_BASE_URL": f"http://{address}:{port}",
            "SHIPSTATION_API_KEY": account.api_key,
            "SHIPSTATION_API_SECRET": account.api_secret,
        }
        places = [Place(host, environment) for host in hosts]
        stack.callback(_end_all, places)
        running = Scene(operator, account, places)
        running.start()
        yield running


def _ground(stack: contextlib.ExitStack, port: int) -> tuple[str, str, list[Host | None], int]:
    """Return the database's URL here, where the two find it and ShipStation, their hosts, and ShipStation's port."""
    if reason := why_no_hosts():
        print(f"no cable is pulled: {reason}")
        _, url, _ = stack.enter_context(shop({}))
        return url, "127.0.0.1", [None, None], port
    net = stack.enter_context(Network())
    hosts: list[Host | None] = [net.host(1), net.host(2)]
    url = stack.enter_context(server_on(net)).url()
    install(url, base_tables=True)
    return url, net.address, hosts, stack.enter_context(TcpProxy(port, net.address)).port


def _end_all(places: list[Place]) -> None:
    for place in places:
        if place.process is not None:
            place.process.kill()
            place.process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=20)
    parser.add_argument("--pulls", type=int, default=10)
    parser.add_argument("--freezes", type=int, default=2, help="half a minute each")
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores; seconds to the next leader, and to the arrival of an order")
    with scene() as running:
        ways: list[tuple[str, Callable[[Place], None], Callable[[Place], None], int]] = [
            ("clean exit", lambda place: place.tell(signal.SIGTERM), start_again, options.samples),
            ("SIGKILL", lambda place: place.tell(signal.SIGKILL), start_again, options.samples),
        ]
        if running.leader().host:
            ways.append(("network gone", pull, plug, options.pulls))
        ways.append(
            ("SIGSTOP", lambda p: p.tell(signal.SIGSTOP), lambda p: p.tell(signal.SIGCONT), options.freezes),
        )
        for name, how, back, times in ways:
            if not times:
                continue
            samples = [running.handover(how, back) for _ in range(times)]
            for what, values in zip(("leader", "order"), zip(*samples, strict=True), strict=True):
                shown = f"median {statistics.median(values):6.3f}   max {max(values):6.3f}   ({times})"
                print(f"{name:13} {what:7} {shown}", flush=True)


if __name__ == "__main__":
    main()
