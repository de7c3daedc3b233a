"""Whatever ShipStation puts into one order of a list, the others of the list are shown, and the sync goes on."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from listener.embedded.shipstation import ShipStationSimulator
from listener.shipstation.client import Answer, ShipStation
from tests.support.hostile import examples
from tests.support.shop import Connection
from tests.support.sync import Syncing, status_of, upload

OF_LABELS = ("shipmentId", "trackingNumber", "voided", "isReturnLabel", "createDate", "shipmentItems", "serviceCode")

Json = dict[str, Any]
Spoil = Callable[[Json], None]

VALUES = [
    *(None, True, False, 0, -1, 2**31, 2**63, 10**400, 1.5, 1e308, float("nan"), float("inf")),
    *("", " ", "\0", "\ud800", "\x1b[2J\n", "x" * 100_000, "null", "-1", "9" * 400, "\u202e", "awaiting_shipment"),
    *("0001-01-01T00:00:00.0000000", "9999-12-31T23:59:59.9999999", "2035-02-30T00:00:00", "2035-07-15T12:00:00Z"),
    *([], {}, [None], [[]], [{}], {"a": {}}, ["x"] * 3000),
]


def places(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to every value within a JSON."""
    if way:
        yield way
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in parts:
        yield from places(part, (*way, name))


def put(order: Json, way: tuple[Any, ...], value: Any) -> None:
    within: Any = order
    for name in way[:-1]:
        within = within[name]
    within[way[-1]] = value


@pytest.fixture
def spoiled(monkeypatch: pytest.MonkeyPatch) -> list[Spoil]:
    """What is done to the order BAD, and its labels, in every answer."""
    spoil: list[Spoil] = []
    ask = ShipStation._request

    def ask_and_spoil(self: ShipStation, method: str, path: str, body: bytes | None) -> Answer:
        answer = ask(self, method, path, body)
        page = json.loads(answer.body)
        for listed in ("orders", "shipments", "fulfillments"):
            for order in page.get(listed) or []:
                if order["orderNumber"] == "BAD":
                    for one in spoil:
                        one(order)
        return replace(answer, body=json.dumps(page).encode())

    monkeypatch.setattr(ShipStation, "_request", ask_and_spoil)
    return spoil


def test_no_value_of_one_order_keeps_another_from_being_shown(
    sync: Syncing, shop: Connection, account: ShipStationSimulator, spoiled: list[Spoil]
) -> None:
    for number in ("BAD", "GOOD"):
        upload(shop, account, number)
    sync.cycle()
    account.user.ship("BAD")
    sync.next_cycle()
    assert status_of(shop, "BAD") == "shipped"
    ways = sorted(set(places(next(order for order in account.orders if order["orderNumber"] == "BAD"))), key=str)
    ways += [(name,) for name in OF_LABELS]
    held = False

    @settings(
        max_examples=examples(60),
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(st.tuples(st.sampled_from(ways), st.sampled_from(VALUES)), min_size=1, max_size=3))
    def spoil(changes: list[tuple[tuple[Any, ...], Any]]) -> None:
        nonlocal held

        def one(order: Json) -> None:
            for way, value in changes:
                try:
                    put(order, way, value)
                except (KeyError, IndexError, TypeError):  # a label, or a part that has just been replaced
                    continue

        spoiled[:] = [one]
        account.user.edit("BAD", internalNotes=str(changes)[:50])
        if held:
            account.user.restore("GOOD")
        else:
            account.user.hold("GOOD", "2035-12-24")
        held = not held
        sync.next_cycle()
        assert status_of(shop, "GOOD") == ("on_hold" if held else "uploaded")

    spoil()
    spoiled.clear()
    sync.time.advance(3600)
    sync.next_cycle()
    assert status_of(shop, "BAD") == "shipped"
