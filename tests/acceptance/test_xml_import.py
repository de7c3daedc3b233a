"""Order files in a folder become orders at ShipStation, once each, whatever else lies in the folder."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from listener.embedded.orders_xml import orders_xml
from listener.embedded.shipstation import ShipStationSimulator
from tests.acceptance.conftest import wait_until_asleep
from tests.support.process import ListenerProcess
from tests.support.shop import Connection, insert_order, set_flag, switch, value_of
from tests.support.wait import eventually

DAY = datetime.now(UTC).date()  # older orders are held back
OURS = "application_name like 'listener %%' and datname = current_database()"


def sessions(shop: Connection) -> list[str]:
    query = f"select split_part(application_name, ' ', 3) from pg_stat_activity where {OURS} order by 1"
    return [kind for (kind,) in shop.execute(query.encode()).fetchall()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "orders"
    path.mkdir()
    return path


@pytest.fixture
def importing(
    dsn: str,
    shop: Connection,
    account: ShipStationSimulator,
    folder: Path,
    listener_process: Callable[..., ListenerProcess],
) -> ListenerProcess:
    """A listener that leads, and looks at its folder every second."""
    set_flag(shop, "fast_polling_interval", "1")
    process = listener_process(dsn, ORDER_SOURCE=str(folder))
    wait_until_asleep(process)
    return process


def arrived(account: ShipStationSimulator) -> Counter[str]:
    return Counter(order["orderNumber"] for order in account.orders)


def test_the_orders_of_a_file_arrive_once_each_and_the_log_says_what_was_done(
    shop: Connection, account: ShipStationSimulator, folder: Path, importing: ListenerProcess
) -> None:
    importing.wait_for(r"XML import started \(interval=1s\)")
    importing.wait_for(r"METRICS: workflow=xml-import exists=False count=0 duration_ms=\d+\.\d\d action=skip source=")
    (folder / "orders.xml").write_bytes(orders_xml(12, DAY))
    assert account.wait_for_orders(12, 15)
    importing.wait_for(r"METRICS: workflow=xml-import exists=True count=1 duration_ms=\d+\.\d\d action=process source=")
    importing.wait_for("Imported orders.xml: 12 orders, 12 new, 0 known, 0 refused$")
    place = importing.mark()
    importing.wait_for("workflow=xml-import exists=False count=0 .* action=skip", after=place)
    assert arrived(account) == {str(600001 + n): 1 for n in range(12)}
    figures = "select status || ' ' || orders_in_file || ' ' || orders_new from listener.imports"
    assert value_of(shop, figures) == "imported 12 12"
    # The line of a check is logged before its step ends.
    status = importing.wait_status(lambda status: status["workflows"]["xml-import"]["state"] == "waiting")
    figures = status["workflows"]["xml-import"]
    assert (figures["processed"], figures["errors"]) == (12, 0)


def test_a_longer_cumulative_file_brings_only_what_is_new(
    shop: Connection, account: ShipStationSimulator, folder: Path, importing: ListenerProcess
) -> None:
    (folder / "orders.xml").write_bytes(orders_xml(5, DAY))
    assert account.wait_for_orders(5, 15)
    uploaded = "select count(*) from orders_inbox where status = 'uploaded'"
    eventually(lambda: value_of(shop, uploaded), lambda count: count == 5)
    for table in ("shipstation_order_line_items", "order_items_inbox"):  # the shop's clean-up of old orders
        shop.execute(
            f"delete from {table} where order_inbox_id = (select id from orders_inbox where order_number = '600002')"
        )
    shop.execute("delete from orders_inbox where order_number = '600002'")
    (folder / "orders.xml").write_bytes(orders_xml(8, DAY))
    assert account.wait_for_orders(8, 15)
    importing.wait_for("Imported orders.xml: 8 orders, 3 new, 5 known, 0 refused$")
    eventually(lambda: value_of(shop, uploaded), lambda count: count == 7)
    assert arrived(account) == {str(600001 + n): 1 for n in range(8)}


def test_a_restart_imports_nothing_again(
    dsn: str,
    shop: Connection,
    account: ShipStationSimulator,
    folder: Path,
    importing: ListenerProcess,
    listener_process: Callable[..., ListenerProcess],
) -> None:
    (folder / "orders.xml").write_bytes(orders_xml(3, DAY))
    importing.wait_for("Imported orders.xml")
    assert account.wait_for_orders(3, 15)
    assert importing.stop() == 0
    again = listener_process(dsn, ORDER_SOURCE=str(folder))
    wait_until_asleep(again)
    looks = "METRICS: workflow=xml-import"
    eventually(lambda: sum(looks in line for line in again.lines), lambda count: count >= 4, timeout=15)
    assert not [line for line in again.lines if looks in line and "exists=False" not in line]
    assert sum(arrived(account).values()) == 3


def test_a_malformed_file_is_named_and_the_next_one_is_read(
    shop: Connection, account: ShipStationSimulator, folder: Path, importing: ListenerProcess
) -> None:
    (folder / "a-broken.xml").write_bytes(orders_xml(2, DAY)[:-40])
    (folder / "b-good.xml").write_bytes(orders_xml(2, DAY))
    assert account.wait_for_orders(2, 15)
    importing.wait_for("WARNING .*a-broken.xml cannot be imported: .*line")
    failed = shop.execute("select name, status, error is not null from listener.imports order by name").fetchall()
    assert failed == [("a-broken.xml", "failed", True), ("b-good.xml", "imported", False)]
    (folder / "c-good.xml").write_bytes(orders_xml(4, DAY))
    assert account.wait_for_orders(4, 15)
    assert sum("a-broken.xml" in line for line in importing.lines) == 1, "named once"
    (folder / "a-broken.xml").write_bytes(orders_xml(5, DAY))
    assert account.wait_for_orders(5, 15), "and read again when it was mended"
    assert importing.status()["workflows"]["xml-import"]["errors"] == 0


def test_a_folder_that_vanishes_is_an_error_of_the_import_and_of_nothing_else(
    shop: Connection, account: ShipStationSimulator, folder: Path, importing: ListenerProcess
) -> None:
    folder.rmdir()
    importing.wait_for("WARNING .*Import error: ")
    importing.wait_for("workflow=xml-import exists=False count=0 .* action=error")
    importing.wait_status(lambda status: status["workflows"]["xml-import"]["state"] == "backoff")
    insert_order(shop, "BESIDE-1")
    assert account.wait_for_orders(1, 5)
    assert importing.status()["workflows"]["shipstation-upload"]["errors"] == 0
    folder.mkdir()
    (folder / "orders.xml").write_bytes(orders_xml(1, DAY))
    set_flag(shop, "idle_after", "301")  # a change of a flag ends the backoff
    assert account.wait_for_orders(2, 15)


def test_an_order_goes_while_a_file_is_being_written_to_the_database(
    dsn: str, shop: Connection, account: ShipStationSimulator, folder: Path, importing: ListenerProcess
) -> None:
    waits = "application_name like 'listener %% step' and wait_event_type = 'Lock' and datname = current_database()"
    with psycopg.connect(dsn) as other:
        other.execute("insert into orders_inbox (order_number, order_date) values ('600002', current_date)")
        (folder / "orders.xml").write_bytes(orders_xml(2, DAY))
        eventually(lambda: value_of(shop, f"select count(*) from pg_stat_activity where {waits}"))
        insert_order(shop, "MEANWHILE-1")
        assert account.wait_for_orders(1, 5)
        assert value_of(shop, "select count(*) from listener.imports") == 0
        other.rollback()
    set_flag(shop, "idle_after", "301")  # on a slow machine it has given up by now, and backs off
    assert account.wait_for_orders(3, 15)
    assert arrived(account) == {"MEANWHILE-1": 1, "600001": 1, "600002": 1}


def test_the_import_is_paused_and_resumed_by_its_row(
    shop: Connection, account: ShipStationSimulator, folder: Path, importing: ListenerProcess
) -> None:
    switch(shop, "xml-import", on=False)
    importing.wait_status(lambda status: status["workflows"]["xml-import"]["state"] == "disabled")
    place = importing.mark()
    (folder / "orders.xml").write_bytes(orders_xml(2, DAY))
    importing.wait_for("workflow=upload .* source=heartbeat", after=place)
    place = importing.mark()
    importing.wait_for("workflow=upload .* source=heartbeat", after=place)
    assert value_of(shop, "select count(*) from listener.imports") == 0
    switch(shop, "xml-import", on=True)
    assert account.wait_for_orders(2, 15)


def test_the_import_has_the_third_connection_and_there_is_none_without_it(
    dsn: str,
    shop: Connection,
    account: ShipStationSimulator,
    without_sync: None,
    importing: ListenerProcess,
    listener_process: Callable[..., ListenerProcess],
) -> None:
    importing.wait_for("workflow=xml-import")
    assert eventually(lambda: sessions(shop), lambda kinds: len(kinds) >= 3) == ["listen", "step", "work"]
    assert importing.stop() == 0
    eventually(lambda: sessions(shop), lambda kinds: kinds == [])
    without = listener_process(dsn)
    wait_until_asleep(without)
    place = without.mark()
    without.wait_for("workflow=upload .* source=heartbeat", after=place)
    assert sessions(shop) == ["listen", "work"]
    assert without.status()["workflows"]["xml-import"]["state"] == "off"
    assert not [line for line in without.lines if "xml-import" in line or "XML import" in line]
