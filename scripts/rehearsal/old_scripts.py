"""Stand-ins for the three loops that the listener replaces, each in a thread, each at its own pace.

They do what a cutover has to reckon with: they send no key, write their run into `workflow_controls.last_run_at`, and
the uploader may be stopped between its request and the row that should show it.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

import psycopg

from listener.embedded.shipstation import ShipStationSimulator
from listener.events import IMPORT, SYNC, UPLOAD
from scripts.rehearsal.shipstation_api import create_orders, orders_of_last_page
from tests.support.shop import Connection

EVERY_SECONDS = 0.4  # 300 in production

RAN_SQL = "update workflow_controls set last_run_at = localtimestamp where workflow_name = %s"

PENDING_SQL = """
select id, order_number from orders_inbox
where status = 'awaiting_shipment' and coalesce(shipstation_order_id, '') = ''
order by id limit 50 for update skip locked
"""
SHOW_SQL = "update orders_inbox set shipstation_order_id = %s, updated_at = localtimestamp where id = %s"


class OldScript:
    """One of the loops: `start`, and `stop`, after which it has done its last round."""

    def __init__(self, workflow: str, url: str, work: Callable[[Connection], None]) -> None:
        self.workflow = workflow
        self.rounds = 0
        self.fault: Exception | None = None
        self._url, self._work = url, work
        self._stopping = threading.Event()
        self._thread = threading.Thread()

    def start(self) -> None:
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, name=f"old {self.workflow}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(20)

    def _run(self) -> None:
        try:
            while not self._stopping.wait(EVERY_SECONDS):
                with psycopg.connect(self._url, application_name=f"old {self.workflow}") as connection:
                    self._work(connection)
                    connection.execute(RAN_SQL, [self.workflow])
                self.rounds += 1
        except Exception as fault:  # whoever looks at the scripts raises it
            self.fault = fault


class OldUploader:
    """Sends what is pending and writes the ids. `leaves_one`: of its last request, one id is not written."""

    def __init__(self, account: ShipStationSimulator) -> None:
        self._account = account
        self.leaves_one = threading.Event()
        self.left: str | None = None

    def work(self, connection: Connection) -> None:
        rows = dict(connection.execute(PENDING_SQL).fetchall())
        if self.left or not rows:
            return
        ids = create_orders(self._account, list(rows.values()))
        if self.leaves_one.is_set():
            self.left = rows.popitem()[1]
        for row_id, number in rows.items():
            connection.execute(SHOW_SQL, [ids[number], row_id])


STATUS_SQL = """
update orders_inbox set status = %s where order_number = %s and shipstation_order_id = %s and status <> %s
"""
SHIPPED_SQL = """
insert into shipped_orders (ship_date, order_number, shipstation_order_id) values (%s, %s, %s) on conflict do nothing
"""
WATERMARK_SQL = """
insert into sync_watermark (workflow_name, last_sync_timestamp) values (%s, %s)
on conflict (workflow_name) do update set last_sync_timestamp = excluded.last_sync_timestamp
"""


def old_sync(account: ShipStationSimulator) -> Callable[[Connection], None]:
    """Return the work of the sync: what was shipped or cancelled, and the time up to which it has looked."""

    def work(connection: Connection) -> None:
        now = datetime.now(UTC)
        for order in orders_of_last_page(account):
            status, number, there = order["orderStatus"], order["orderNumber"], str(order["orderId"])
            if status in ("shipped", "cancelled", "on_hold"):
                connection.execute(STATUS_SQL, [status, number, there, status])
            if status == "shipped":
                connection.execute(SHIPPED_SQL, [now.date().isoformat(), number, there])
        connection.execute(WATERMARK_SQL, [SYNC, now.isoformat(timespec="seconds")])

    return work


IMPORT_SQL = """
insert into orders_inbox (order_number, order_date, status, total_items, ship_name, ship_street1, ship_city, ship_state,
                          ship_postal_code, ship_country)
values (%s, current_date, 'awaiting_shipment', 1, 'Ada Example', '1 Sample Street', 'Springfield', 'IL', '62701', 'US')
on conflict (order_number) do nothing returning id
"""
IMPORT_ITEM_SQL = "insert into order_items_inbox (order_inbox_id, sku, quantity) values (%s, '30101', 1)"
XML_STATE_SQL = "update polling_state set last_xml_count = %s, last_xml_check = localtimestamp where id = 1"


def old_import(file: Path) -> Callable[[Connection], None]:
    """Return the work of the import: each number of the file that has no row yet."""

    def work(connection: Connection) -> None:
        with suppress(FileNotFoundError):
            numbers = [order.findtext("orderid") for order in ElementTree.parse(file).iter("order")]  # noqa: S314
            for number in numbers:
                row = connection.execute(IMPORT_SQL, [number]).fetchone()
                if row:
                    connection.execute(IMPORT_ITEM_SQL, row)
            connection.execute(XML_STATE_SQL, [str(len(numbers))])

    return work


class OldScripts:
    """All three. What failed in one of them is raised by `check`."""

    def __init__(self, url: str, account: ShipStationSimulator, file: Path) -> None:
        self.uploader = OldUploader(account)
        self.upload = OldScript(UPLOAD, url, self.uploader.work)
        self.imports = OldScript(IMPORT, url, old_import(file))
        self.sync = OldScript(SYNC, url, old_sync(account))
        self.all = (self.upload, self.imports, self.sync)

    def start(self) -> None:
        for script in self.all:
            script.start()

    def stop(self) -> None:
        for script in self.all:
            script.stop()

    def faults(self) -> list[str]:
        return [f"{script.workflow}: {script.fault}" for script in self.all if script.fault]
