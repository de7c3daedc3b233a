"""Fixtures of the upload's tests: a shop, a ShipStation without limit, and a leader in the test's own process."""

from collections.abc import Iterator

import psycopg
import pytest

from listener.embedded.shipstation import ShipStationSimulator
from listener.shipstation import listing
from tests.support.shop import Connection
from tests.support.sync import Syncing, syncing
from tests.support.upload import LIST, Leader, leading


@pytest.fixture
def account(shipstation: ShipStationSimulator) -> ShipStationSimulator:
    shipstation.limit_per_minute = None
    return shipstation


@pytest.fixture
def shop(dsn: str) -> Iterator[Connection]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture
def ours(dsn: str, account: ShipStationSimulator) -> Iterator[Leader]:
    with leading(dsn, account) as ours:
        yield ours


@pytest.fixture
def sync(dsn: str, account: ShipStationSimulator) -> Iterator[Syncing]:
    with syncing(dsn, account) as sync:
        yield sync


@pytest.fixture
def fresh(ours: Leader) -> Leader:
    """A leader whose mirror is fresh: what happens at ShipStation from now on it does not know."""
    ours.run_all()
    assert len(ours.calls(LIST)) == 1
    return ours


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(listing, "PAGE_SIZE", 20)
    return 20
