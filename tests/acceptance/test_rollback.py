"""Parts are taken away under a running listener, with SQL alone, and put back: it stays alive and loses nothing."""

import re
from collections.abc import Callable
from pathlib import Path

import psycopg

from listener.embedded.shipstation import ShipStationSimulator
from listener.install import flags_back, install, rollback
from tests.acceptance.conftest import wait_until_asleep
from tests.support.process import ListenerProcess
from tests.support.shop import Connection, insert_order, row_of, set_flag, switch, value_of
from tests.support.wait import eventually

CREATE = "/orders/createorders"
ADD_FLAG = """
insert into configuration_params (category, parameter_name, value) values ('Polling', 'sync_interval', '130');
notify configuration_params
"""
RECEIPTS = """
select string_agg(parameter_name || '=' || new_value || ' ' || verdict || ' by ' || source
                  || case when in_force_at is null then ', not in force' else '' end, '; ' order by parameter_name)
from (select distinct on (parameter_name) * from listener.config_log order by parameter_name, id desc) newest
where parameter_name in ('fast_polling_enabled', 'fast_polling_interval', 'sync_interval')
"""


def lines_with(process: ListenerProcess, text: str, after: int = 0) -> list[str]:
    return [line for line in process.lines[after:] if text in line]


def beats(process: ListenerProcess) -> int:
    return len(lines_with(process, "source=heartbeat"))


def wait_for_beats(process: ListenerProcess, count: int) -> None:
    """Wait until it has looked so many times more."""
    until = beats(process) + count
    eventually(lambda: beats(process), lambda now: now >= until, timeout=10)


def sent(account: ShipStationSimulator) -> list[str]:
    """Return the number of every order in every createorders so far."""
    bodies = [request.body for request in account.requests if request.path == CREATE]
    return [order["orderNumber"] for body in bodies if isinstance(body, list) for order in body]


def test_the_instant_rollback_and_its_reverse_are_in_force_at_once_and_receipted(
    dsn: str, shop: Connection, account: ShipStationSimulator, asleep: ListenerProcess
) -> None:
    rollback(dsn, "flags")
    slow = "fast_polling_enabled=false accepted by notify; fast_polling_interval=300 accepted by notify"
    assert eventually(lambda: value_of(shop, RECEIPTS), lambda said: said and said.startswith(slow))
    flags = asleep.status()["flags"]
    assert (flags["fast_polling_enabled"], flags["fast_polling_interval"], flags["sync_interval"]) == (False, 300, 300)
    asleep.wait_status(lambda status: status["workflows"]["shipstation-upload"]["state"] == "resting")
    insert_order(shop, "SLOW-1")
    assert not account.wait_for_orders(1, 0.3)
    flags_back(dsn)
    fast = "fast_polling_enabled=true accepted by notify; fast_polling_interval=3600 accepted by notify"
    assert eventually(lambda: value_of(shop, RECEIPTS), lambda said: said.startswith(fast))
    assert account.wait_for_orders(1, 5)


def test_without_its_triggers_orders_go_with_the_heartbeat_and_an_install_brings_the_bell_back(
    dsn: str, shop: Connection, account: ShipStationSimulator, asleep: ListenerProcess
) -> None:
    set_flag(shop, "fast_polling_interval", "1")
    asleep.wait_status(lambda status: status["flags"]["fast_polling_interval"] == 1)
    place = asleep.mark()
    rollback(dsn, "notify")
    insert_order(shop, "BEAT-1")
    assert account.wait_for_orders(1, 10)
    asleep.wait_for("action=process source=heartbeat")
    asleep.wait_status(lambda status: any("listener install" in reason for reason in status["degraded"]))
    wait_for_beats(asleep, 2)
    (said,) = lines_with(asleep, "listener install", after=place)
    assert re.search("WARNING .*The bell is off, orders go with the heartbeat: listener_orders_inserted, ", said)
    install(dsn)
    asleep.wait_status(lambda status: status["degraded"] == [])
    asleep.wait_for("INFO .*The bell is on again", after=place)
    set_flag(shop, "fast_polling_interval", "3600")
    asleep.wait_status(lambda status: status["flags"]["fast_polling_interval"] == 3600)
    wait_until_asleep(asleep)
    place = asleep.mark()
    insert_order(shop, "BELL-1")
    assert account.wait_for_orders(2, 5)
    asleep.wait_for("action=process source=notify", after=place)
    assert sent(account) == ["BEAT-1", "BELL-1"]


def wait_for_tries(process: ListenerProcess, count: int) -> None:
    """Wait until it has tried to lead so many times: each failure sets the time of the next try."""
    times: set[str] = set()

    def seen() -> int:
        times.add(process.status()["workflows"]["shipstation-upload"]["next_due_at"])
        return len(times)

    eventually(seen, lambda number: number >= count, timeout=10)


def test_everything_can_be_taken_away_under_a_running_listener_and_put_back(
    dsn: str,
    shop: Connection,
    account: ShipStationSimulator,
    listener_process: Callable[..., ListenerProcess],
    tmp_path: Path,
) -> None:
    set_flag(shop, "fast_polling_interval", "1")
    process = listener_process(dsn, ORDER_SOURCE=str(tmp_path))
    wait_until_asleep(process)
    place = process.mark()
    hold = account.hold(path=CREATE, when="after")
    insert_order(shop, "ON-ITS-WAY")
    assert hold.arrived.wait(5)
    rollback(dsn, "all")
    process.wait_for("workflow=xml-import .* action=error", after=place)  # the import finds it first, and
    shop.execute(ADD_FLAG)  # a flag that changes ends its backoff: what is missing is not said twice for that
    process.wait_for("sync_interval 120 -> 130", after=place)
    hold.release()
    there = str(eventually(lambda: account.orders)[0]["orderId"])
    assert eventually(lambda: row_of(shop, "ON-ITS-WAY"), lambda row: row[1]) == ("uploaded", there, None)
    insert_order(shop, "MEANWHILE")
    process.wait_status(lambda status: any("listener install" in reason for reason in status["degraded"]))
    wait_for_tries(process, 3)
    assert process.status("/health/live")
    install(dsn)
    assert account.wait_for_orders(2, 20)
    eventually(lambda: row_of(shop, "MEANWHILE")[0], lambda status: status == "uploaded")
    process.wait_status(lambda status: status["degraded"] == [])
    insert_order(shop, "AFTERWARDS")
    assert account.wait_for_orders(3, 5)
    (said,) = lines_with(process, "listener install", after=place)
    assert "WARNING" in said
    assert not lines_with(process, " ERROR ")
    assert sent(account) == ["ON-ITS-WAY", "MEANWHILE", "AFTERWARDS"]


def test_a_workflow_that_was_paused_is_paused_after_everything_was_put_back(
    production_dsn: str, account: ShipStationSimulator, listener_process: Callable[..., ListenerProcess]
) -> None:
    install(production_dsn)
    process = listener_process(production_dsn)
    wait_until_asleep(process)
    with psycopg.connect(production_dsn, autocommit=True) as shop:
        rollback(production_dsn, "all")
        process.wait_status(lambda status: any("listener install" in reason for reason in status["degraded"]))
        switch(shop, "shipstation-upload", on=False)
        insert_order(shop, "NOT-YET")
        install(production_dsn)
        process.wait_status(lambda s: s["workflows"]["shipstation-upload"]["state"] == "disabled")
        assert sent(account) == []
        switch(shop, "shipstation-upload", on=True)
        assert account.wait_for_orders(1, 5)
