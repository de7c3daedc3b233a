"""Fixtures of the acceptance tests: a shop, a ShipStation without limit, and a listener that is asleep."""

from collections.abc import Callable, Iterator

import psycopg
import pytest

from listener.embedded.shipstation import ShipStationSimulator
from tests.support.process import ListenerProcess
from tests.support.shop import Connection, only_the_bell, switch


@pytest.fixture
def shop(dsn: str) -> Iterator[Connection]:
    """A writer's connection to the test's database, where only the bell wakes the listener."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        only_the_bell(connection)
        yield connection


@pytest.fixture
def without_sync(shop: Connection) -> None:
    """The sync is switched off; named before whatever starts the listener."""
    switch(shop, "unified-shipstation-sync", on=False)


@pytest.fixture
def account(shipstation: ShipStationSimulator) -> ShipStationSimulator:
    """The test's ShipStation account, without a limit of its own."""
    shipstation.limit_per_minute = None
    return shipstation


@pytest.fixture
def asleep(
    dsn: str, shop: Connection, account: ShipStationSimulator, listener_process: Callable[..., ListenerProcess]
) -> ListenerProcess:
    """A listener that leads and has gone to sleep."""
    process = listener_process(dsn)
    wait_until_asleep(process)
    return process


def wait_until_asleep(process: ListenerProcess, timeout: float = 10) -> None:
    process.wait_status(
        lambda status: status["role"] == "leader" and status["workflows"]["shipstation-upload"]["state"] == "asleep",
        timeout,
    )
