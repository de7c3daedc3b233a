"""What does not say that it has gone is noticed by a limit: the system's for a dead link, the listener's for silence.

How long that takes in a run of every fault is in RELIABILITY.md. That LISTEN is never heard is noticed too, and named
in the log (tests/acceptance/test_pooler.py), on the page (test_page_in_browser.py) and by doctor (test_doctor.py).
"""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from listener.embedded.shipstation import ShipStationSimulator
from tests.chaos.network import OtherHost, other_host
from tests.support.hosts import why_no_hosts
from tests.support.process import ListenerProcess
from tests.support.shop import Connection, insert_order, set_flag, value_of

CREATE = "/orders/createorders"
LISTENS = "select pid from pg_stat_activity where application_name like 'listener %% listen' and datname = %s"


@pytest.fixture
def there(dsn: str, account: ShipStationSimulator) -> Iterator[OtherHost]:
    """Another host on a cable, that reaches the test's database and its ShipStation."""
    if reason := why_no_hosts():
        pytest.skip(reason)
    with other_host(int(str(conninfo_to_dict(dsn)["port"])), account.port) as there:
        yield there


def test_a_link_that_is_down_is_noticed_and_orders_go_when_it_is_back(
    dsn: str, shop: Connection, account: ShipStationSimulator, there: OtherHost, tmp_path: Path
) -> None:
    environment = {
        "DATABASE_URL": make_conninfo(dsn, hostaddr=there.address, port=there.ports[0]),
        "SHIPSTATION_BASE_URL": f"http://{there.address}:{there.ports[1]}",
        "SHIPSTATION_API_KEY": account.api_key,
        "SHIPSTATION_API_SECRET": account.api_secret,
        "STATUS_ADDRESS": "off",
    }
    with ListenerProcess(("run",), environment, tmp_path, inside=there.host.inside) as process:
        process.wait_for(r"Leading \(epoch 1")
        process.wait_for("exists=False .* source=heartbeat")
        there.host.pull_the_cable()
        insert_order(shop, "DARK-1")
        process.wait_for("session was lost", 10)
        there.host.plug_it_in()
        assert account.wait_for_orders(1, 20)
    assert account.order_count == 1


def test_a_server_process_that_stands_still_is_noticed_by_a_question_that_it_does_not_answer(
    dsn: str, shop: Connection, account: ShipStationSimulator, listener_process: Callable[..., ListenerProcess]
) -> None:
    set_flag(shop, "fast_polling_interval", "1")
    process = listener_process(dsn)
    process.wait_for("exists=False .* source=heartbeat")
    hold = account.hold(path=CREATE)
    insert_order(shop, "STILL-1")
    assert hold.arrived.wait(5)  # while a request is under way, it is the LISTEN session that is asked for the flags
    stopped = int(value_of(shop, LISTENS, conninfo_to_dict(dsn)["dbname"]))
    os.kill(stopped, signal.SIGSTOP)
    try:
        process.wait_for("the LISTEN session gave no answer for 5 s: reconnecting", 15)
        process.wait_status(lambda status: status["listening"])
    finally:
        os.kill(stopped, signal.SIGCONT)
    hold.release()
    assert account.wait_for_orders(1, 5)
