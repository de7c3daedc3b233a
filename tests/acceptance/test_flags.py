"""Settings changed with SQL are in force at once, also while a request hangs, and leave a receipt."""

from collections.abc import Callable

import psycopg
import pytest

from listener.embedded.shipstation import ShipStationSimulator
from listener.install import rollback
from tests.acceptance.conftest import wait_until_asleep
from tests.support.process import ListenerProcess
from tests.support.shop import Connection, insert_order, set_flag, switch, value_of
from tests.support.wait import eventually

RECEIPT = (
    "select verdict from listener.config_log where parameter_name = %s and new_value = %s order by id desc limit 1"
)


def test_a_change_is_in_force_and_receipted_while_an_upload_hangs(
    shop: Connection, account: ShipStationSimulator, asleep: ListenerProcess
) -> None:
    hold = account.hold(path="/orders/createorders")
    insert_order(shop, "HANG-1")
    assert hold.arrived.wait(5)
    set_flag(shop, "sync_interval", "180")
    asleep.wait_status(lambda status: status["flags"]["sync_interval"] == 180)
    asleep.wait_for(r"sync_interval 120 -> 180 \(interval=180s\)$")
    assert eventually(lambda: value_of(shop, RECEIPT, "sync_interval", "180")) == "accepted"
    assert account.order_count == 0, "the upload still hangs"
    hold.release()
    assert account.wait_for_orders(1, 5)


@pytest.mark.parametrize(
    ("name", "value", "range_"),
    [
        ("fast_polling_interval", "0", "1 to 3600"),
        ("fast_polling_interval", "soon", "1 to 3600"),
        ("notify_enabled", "perhaps", "true or false"),
        ("manual_order_pattern", "([", "regular expression"),
    ],
)
def test_a_bad_value_is_refused_with_row_and_range_and_the_old_one_stays(
    shop: Connection, asleep: ListenerProcess, name: str, value: str, range_: str
) -> None:
    before = asleep.status()["flags"][name]
    set_flag(shop, name, value)
    asleep.wait_for(rf"WARNING .*Refused: .*{name}.*{range_}")
    assert eventually(lambda: value_of(shop, RECEIPT, name, value)) == "refused"
    assert asleep.status()["flags"][name] == before


def test_fast_polling_off_ignores_the_bell_at_once_and_on_heeds_it_at_once(
    shop: Connection, account: ShipStationSimulator, asleep: ListenerProcess
) -> None:
    set_flag(shop, "fast_polling_enabled", "false")
    asleep.wait_status(lambda s: s["workflows"]["shipstation-upload"]["state"] == "resting")
    insert_order(shop, "OFF-1")
    assert not account.wait_for_orders(1, 0.5)
    set_flag(shop, "fast_polling_enabled", "true")
    assert account.wait_for_orders(1, 5)
    insert_order(shop, "ON-1")
    assert account.wait_for_orders(2, 5)


def test_while_the_upload_rests_writers_are_silenced(
    dsn: str, shop: Connection, account: ShipStationSimulator, asleep: ListenerProcess
) -> None:
    with psycopg.connect(dsn, autocommit=True) as ear:
        ear.execute("listen orders_inbox")
        switch(shop, "shipstation-upload", on=False)
        asleep.wait_status(lambda s: s["workflows"]["shipstation-upload"]["state"] == "disabled")
        eventually(lambda: value_of(shop, HOLDERS), lambda count: count == 2)
        insert_order(shop, "QUIET-1")
        assert list(ear.notifies(timeout=0.2)) == []
        switch(shop, "shipstation-upload", on=True)
        assert account.wait_for_orders(1, 5)
        wait_until_asleep(asleep)
        insert_order(shop, "LOUD-1")
        assert len(list(ear.notifies(timeout=5, stop_after=1))) == 1


HOLDERS = "select count(*) from pg_locks where locktype = 'advisory' and classid = 1818850164 and granted"


def test_a_change_that_nobody_announced_is_seen_by_the_beat(
    dsn: str, shop: Connection, listener_process: Callable[..., ListenerProcess]
) -> None:
    rollback(dsn, "notify")
    set_flag(shop, "fast_polling_interval", "1")
    process = listener_process(dsn)
    wait_until_asleep(process)
    set_flag(shop, "upload_batch_size", "7")
    process.wait_status(lambda status: status["flags"]["upload_batch_size"] == 7)
    query = "select source from listener.config_log where parameter_name = 'upload_batch_size'"
    assert eventually(lambda: value_of(shop, query)) == "heartbeat"
