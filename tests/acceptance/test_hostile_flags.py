"""Whoever may write to the tables of settings can't stop the listener, make it large, or make its log lie."""

import json

from listener.embedded.shipstation import ShipStationSimulator
from tests.acceptance.conftest import wait_until_asleep
from tests.support.process import ListenerProcess
from tests.support.shop import Connection, insert_order, row_of, set_flag, value_of
from tests.support.wait import eventually

BOMBS = [r"^(a+)+$", r"(a|a)*$", r"(.*)*x", r"(\d+)*\D", r"^(\w|aa)*$"]

RECEIPTS = "select count(*) from listener.config_log where parameter_name = %s and verdict = 'refused'"


def wait_for_refusals(shop: Connection, name: str, times: int) -> None:
    eventually(lambda: value_of(shop, RECEIPTS, name), lambda count: count == times)


def test_a_pattern_that_would_take_minutes_is_refused_and_orders_go_on(
    shop: Connection, account: ShipStationSimulator, asleep: ListenerProcess
) -> None:
    for turn, bomb in enumerate(BOMBS, 1):
        set_flag(shop, "manual_order_pattern", bomb)
        wait_for_refusals(shop, "manual_order_pattern", turn)
        insert_order(shop, f"{turn}" * 10 + "a" * 39 + "!")
        insert_order(shop, f"{turn}" * 50)
        assert account.wait_for_orders(2 * turn, 10)
    assert asleep.status()["flags"]["manual_order_pattern"] == "^10[0-9]{4}$"
    refusals = [line for line in asleep.lines if "Refused:" in line]
    assert len(refusals) == len(BOMBS)
    assert all("would take too long to search for" in line for line in refusals)
    assert asleep.stop(timeout=5) == 0


def test_values_without_measure_are_refused_on_one_short_line_each_and_the_settings_stay(
    shop: Connection, account: ShipStationSimulator, asleep: ListenerProcess
) -> None:
    before = asleep.status()["flags"]
    forged = "1\n2026-01-01T00:00:00.000+00:00 ERROR listener forged\x1b[2J\r" + "9" * 1_000_000
    with shop.transaction():
        for name in before:
            set_flag(shop, name, forged)
        shop.execute(
            "insert into configuration_params (category, parameter_name, value) "
            "select 'Polling', 'flag ' || n, repeat('x', 10000) from generate_series(1, 3000) n"
        )
    for name in before:
        wait_for_refusals(shop, name, 1)
    assert asleep.status()["flags"] == before
    refusals = [line for line in asleep.lines if "Refused:" in line]
    assert len(refusals) == len(before)
    assert max(map(len, asleep.lines)) < 600
    assert not [line for line in asleep.lines if line.endswith("forged") or "\x1b" in line or " ERROR " in line[:60]]
    assert value_of(shop, "select max(length(new_value) + length(reason)) from listener.config_log") < 2000
    page = json.dumps(asleep.status("/page/past.json"))
    assert len(page) < 30_000
    insert_order(shop, "AFTER-ALL")
    assert account.wait_for_orders(1, 10)
    eventually(lambda: row_of(shop, "AFTER-ALL")[0], lambda status: status == "uploaded")
    wait_until_asleep(asleep)
