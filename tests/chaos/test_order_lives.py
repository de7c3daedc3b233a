"""Orders live at ShipStation as they like, ShipStation fails as it likes, and the listener dies as it likes. Once all
is quiet, the shop's tables say what ShipStation says.

Time is the test's own. Every step of it may be nothing at all, so that many changes have one stamp; and some runs lie
across the nights in which ShipStation's clock repeats an hour, or leaves one out.
"""

import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from listener.embedded.shipstation import Fault, ShipStationSimulator
from listener.errors import Transient
from listener.shipstation import listing
from listener.shipstation.watermark import read_watermark
from listener.workflows.retry_failures import GONE
from listener.workflows.route import MEANS_UPLOADED
from tests.support.shop import Connection, insert_order
from tests.support.sync import WATERMARK, Syncing, conflicts, failures, shipped_items, syncing
from tests.support.upload import Time

NIGHTS = {
    "any": datetime(2035, 7, 15, 19, tzinfo=UTC),
    "repeated hour": datetime(2035, 11, 4, 7, 30, tzinfo=UTC),  # 00:30 in California
    "missing hour": datetime(2035, 3, 11, 9, 30, tzinfo=UTC),  # 01:30
}
WRONGS: tuple[Callable[[random.Random, str], Fault], ...] = (
    lambda dice, number: Fault("drop-before-commit"),
    lambda dice, number: Fault("drop-after-commit"),
    lambda dice, number: Fault("cut"),
    lambda dice, number: Fault("429", reset=1),
    lambda dice, number: Fault("429", headers=False),
    lambda dice, number: Fault("throttle-in-body", status=dice.choice([200, 500])),
    lambda dice, number: Fault("500"),
    lambda dice, number: Fault("503"),
    lambda dice, number: Fault("answer", status=dice.choice([200, 401, 404, 500]), body="<html>"),
    lambda dice, number: Fault("answer", body='{"orders": [], "total": 0'),
    lambda dice, number: Fault("poison", orders=(number,)),
)


class Killed(BaseException):
    """The process ends here, in the middle of whatever it does."""


class Lives:
    """The orders of one run, and what is done to them."""

    def __init__(self, sync: Syncing, shop: Connection, account: ShipStationSimulator, dice: random.Random) -> None:
        self.sync, self.shop, self.account, self.dice = sync, shop, account, dice
        self.reconciles = dice.random() < 0.5  # else nothing may have been missed in the first place
        self.made = 0
        self.watermark: datetime | None = None
        self.deleted: set[str] = set()
        self.kills = self.errors = 0

    # What people do.

    def something(self) -> None:
        """Do something to some order."""
        acts = [self.make] * 3 + [self.edit, self.ship, self.ship, self.box, self.void, self.void, self.cancel]
        acts += [self.restore, self.mark, self.hold, self.split, self.delete, self.ship_back]
        with suppress(LookupError):
            self.dice.choice(acts)()
        self.sync.time.advance(self.dice.choice([0, 0, 0, 0.001, 0.4, 1, 7, 130, 900]))

    def make(self) -> None:
        self.made += 1
        number = self.dice.choice([f"A-{self.made}", f"A-{self.made}", str(100000 + self.made), f"X-{self.made}"])
        lots = [f"1700{n}{lot}" for n in range(3) for lot in ("", " - L1", " - L2")]
        items = [{"sku": sku, "quantity": self.dice.randint(1, 4)} for sku in self.dice.sample(lots, 3)]
        there = self.account.user.create_manual(number, items=items)
        if number.startswith("A"):
            insert_order(self.shop, number, items=(("17000", 1, 100),))
            query = "update orders_inbox set status = 'uploaded', shipstation_order_id = %s where order_number = %s"
            self.shop.execute(query, [str(there["orderId"]), number])

    def edit(self) -> None:
        self.account.user.edit(self.any(), customerNotes=str(self.dice.random()))

    def ship(self) -> None:
        self.account.user.ship(self.any("awaiting_shipment"), f"T{self.dice.random()}")

    def box(self) -> None:
        self.account.user.ship(self.any("shipped"), f"B{self.dice.random()}")

    def ship_back(self) -> None:
        self.account.user.ship(self.any("shipped"), f"R{self.dice.random()}", isReturnLabel=True)

    def void(self) -> None:
        labels = [one for one in self.account.shipments if not (one["voided"] or one["isReturnLabel"])]
        there = {order["orderId"] for order in self.account.orders}
        labels = [label for label in labels if label["orderId"] in there]
        if labels:
            label = self.dice.choice(labels)
            self.account.user.void(label["orderId"], label["shipmentId"])

    def cancel(self) -> None:
        self.account.user.cancel(self.any("awaiting_shipment", "on_hold"))

    def restore(self) -> None:
        self.account.user.restore(self.any("on_hold", "cancelled"))

    def mark(self) -> None:
        self.account.user.mark_shipped(self.any("awaiting_shipment"), f"F{self.dice.random()}")

    def hold(self) -> None:
        self.account.user.hold(self.any("awaiting_shipment"), "2036-01-01")

    def split(self) -> None:
        open_ones = [order for order in self.account.orders if order["orderStatus"] == "awaiting_shipment"]
        whole = [o for o in open_ones if len(o["items"]) > 1 and not o["advancedOptions"]["parentId"]]
        if whole:
            self.account.user.split(int(self.dice.choice(whole)["orderId"]))

    def delete(self) -> None:
        if self.dice.random() < 0.2:
            order_id = self.any("awaiting_shipment", "on_hold", "cancelled")
            if self.account._account.orders[order_id].sent.get("advancedOptions"):
                return  # a part that is gone is missed by nobody: it has no row of its own
            self.deleted.add(str(order_id))
            self.account.user.delete(order_id)

    def any(self, *statuses: str) -> int:
        found = [o["orderId"] for o in self.account.orders if not statuses or o["orderStatus"] in statuses]
        if not found:
            raise LookupError("there is none")
        return int(self.dice.choice(found))

    # What the listener does.

    def fail_somehow(self) -> None:
        self.account.clear_faults()
        for _ in range(self.dice.randint(0, 2)):
            numbers = [order["orderNumber"] for order in self.account.orders] or ["none"]
            fault = self.dice.choice(WRONGS)(self.dice, self.dice.choice(numbers))
            fault = replace(
                fault,
                path=self.dice.choice(["*", "/orders", "/shipments", "/orders/*"]),
                probability=self.dice.choice([0.2, 0.5, 1.0]),
                seed=self.dice.randrange(1000),
                times=self.dice.choice([1, 3, None]),
            )
            self.account.inject(fault)

    def one_cycle(self) -> None:
        """Run a cycle, or a part of one; die at some statement, sometimes."""
        if self.dice.random() < 0.4:
            self.die_after(self.dice.randint(1, 60))
        try:
            for _ in range(self.dice.choice([1, 3, 100])):
                synced = self.sync.step()
                if synced.over:
                    break
                self.sync.time.advance(synced.report.retry_after or 0)
                if self.dice.random() < 0.2:
                    self.something()  # in the middle of a reading
        except Killed:
            self.kills += 1
            self.sync.lead()
        except (Transient, psycopg.Error):
            self.errors += 1
        self.live()
        self.sync.time.advance(self.dice.choice([0, 61]))

    def die_after(self, statements: int) -> None:
        connection = self.sync.sync._open()
        execute, left = connection.execute, [statements]

        def one_less(*arguments: Any, **options: Any) -> Any:
            left[0] -= 1
            if left[0] == 0:
                raise Killed
            return execute(*arguments, **options)

        connection.execute = one_less  # type: ignore[method-assign]

    def live(self) -> None:
        """Take back the death that did not come; the watermark has not gone back."""
        self.sync.sync.close()
        row = self.shop.execute(WATERMARK).fetchone()
        if row is not None:
            now = read_watermark(row[0], self.sync.time.utc())
            assert now >= (self.watermark or now)
            self.watermark = now

    def come_to_rest(self) -> None:
        """Have an end of all faults, and let days pass. What is compared once a day is only what is a day old."""
        self.account.clear_faults()
        if self.reconciles:
            self.shop.execute("update orders_inbox set created_at = created_at - interval '3 days'")
        for hours in (0.1, 1, 3, 20, 6, 19, 25, 25):
            self.sync.time.advance(hours * 3600)
            with suppress(Transient):
                self.sync.cycle()
        self.sync.time.advance(86400)
        self.sync.cycle()

    # What has to hold.

    def check(self) -> None:
        there = {str(order["orderId"]): order for order in self.account.orders}
        columns = "order_number, status, coalesce(shipstation_order_id, ''), tracking_number"
        rows = self.shop.execute(f"select {columns} from orders_inbox".encode()).fetchall()
        for number, status, order_id, tracking in rows:
            if order_id in self.deleted:
                self.check_deleted(number, status, order_id)
            else:
                self.check_row(number, status, there[order_id], tracking)
        self.check_who_has_a_row(rows, there)
        mirror = dict(self.shop.execute("select shipstation_order_id, status from listener.mirror").fetchall())
        assert {key: mirror.get(key) for key in there} == {key: o["orderStatus"] for key, o in there.items()}
        assert failures(self.shop) == []
        pending = "status in ('pending', 'awaiting_shipment')"
        assert self.shop.execute(f"select 1 from orders_inbox where {pending}".encode()).fetchall() == []

    def check_row(self, number: str, status: str, order: dict[str, Any], tracking: str | None) -> None:
        says = order["orderStatus"]
        assert status in (MEANS_UPLOADED if says == "awaiting_shipment" else (says,)), (number, status, says)
        query = "select count(*) from shipped_orders where order_number = %s"
        assert self.shop.execute(query, [number]).fetchone() == (int(says == "shipped"),), number
        if says != "shipped":
            assert (tracking, shipped_items(self.shop, number)) == (None, []), number
            return
        assert tracking in self.labels(order), (number, tracking, self.labels(order))
        assert {(sku, lot): n for sku, lot, n, _ in shipped_items(self.shop, number)} == self.left_of(order), number

    def labels(self, order: dict[str, Any]) -> set[str | None]:
        """Return the tracking numbers that an order may show."""
        ours = [one for one in self.account.shipments if one["orderId"] == order["orderId"]]
        in_force = {one["trackingNumber"] for one in ours if not (one["voided"] or one["isReturnLabel"])}
        elsewhere = self.account._account.fulfillments
        marked = {one["trackingNumber"] for one in elsewhere if one["orderId"] == order["orderId"]}
        return in_force | marked or {None}

    def left_of(self, order: dict[str, Any]) -> dict[tuple[str, str], int]:
        """Return what has left: the order's items, with those of its shipped parts."""
        orders = [o for o in self.account.orders if o["advancedOptions"]["parentId"] == order["orderId"]]
        sums: dict[tuple[str, str], int] = {}
        for part in (order, *(o for o in orders if o["orderStatus"] == "shipped")):
            for item in part["items"]:
                identity = (item["sku"].split(" - ")[0], item["sku"])
                sums[identity] = sums.get(identity, 0) + item["quantity"]
        return sums

    def check_deleted(self, number: str, status: str, order_id: str) -> None:
        if self.reconciles and status in (*MEANS_UPLOADED, "on_hold", "awaiting_payment"):
            assert (number, GONE, [order_id]) in conflicts(self.shop), "a person is told"

    def check_who_has_a_row(self, rows: list[tuple[Any, ...]], there: dict[str, dict[str, Any]]) -> None:
        """Every manual order has a row, unless it is a part of another; what others made has none."""
        ids = {order_id for _, _, order_id, _ in rows}
        for order_id, order in there.items():
            is_part = bool(order["advancedOptions"]["parentId"])
            if order["orderNumber"].startswith("1") and not is_part:
                assert order_id in ids, order["orderNumber"]
            if order["orderNumber"].startswith("X") or is_part:
                assert order_id not in ids, order["orderNumber"]


@pytest.mark.parametrize("night", NIGHTS)
def test_when_all_is_quiet_the_tables_say_what_shipstation_says(
    dsn: str,
    shop: Connection,
    account: ShipStationSimulator,
    seed: int,
    chaos_seconds: float,
    night: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dice = random.Random(f"{seed} {night}")
    monkeypatch.setattr(listing, "PAGE_SIZE", dice.choice([4, 11, 500]))
    at = Time()
    at.passed = (NIGHTS[night] - datetime.now(UTC)).total_seconds()
    began = at.monotonic() - at.passed
    with syncing(dsn, account, at) as sync:
        lives = Lives(sync, shop, account, dice)
        rounds = 0
        while rounds < 3 or at.monotonic() - at.passed < began + chaos_seconds / 3:
            rounds += 1
            for _ in range(dice.randint(1, 12)):
                lives.something()
            lives.fail_somehow()
            lives.one_cycle()
        lives.come_to_rest()
        lives.check()
        orders = account.order_count
        print(f"{night}: {rounds} rounds, {orders} orders, {lives.kills} deaths, {lives.errors} errors")
