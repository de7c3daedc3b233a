"""Tracking: the labels of the orders that were shipped, read from GET /shipments and GET /fulfillments.

Few orders are asked for one by one; many by one list of what was made around the time of their changes. Labels come at
the end of these lists and never leave them, so their pages stand still. What has no label bought there may have been
marked as shipped elsewhere; what no list has shown is asked for by itself. What has neither is asked for again, three
times, and then left without tracking.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import psycopg

from listener.database import Connection, sentence
from listener.errors import Transient
from listener.headway import Headway
from listener.shipstation.client import Answer, ShipStation
from listener.shipstation.details import service_name
from listener.shipstation.labels import (
    Label,
    LabelPage,
    decode_fulfillments,
    decode_shipments,
    tracking_of,
)
from listener.shipstation.pacific import to_pacific
from listener.store import links, tracking
from listener.store.links import Tracked, Wanted
from listener.store.tracking import TrackingRow
from listener.workflows.sync_step import SyncStep
from listener.workflows.write_plans import concerns_one

logger = logging.getLogger(__name__)

SINGLY = 2
"""So many orders are asked for one by one; for more a list is cheaper."""

ORDERS_A_BATCH = 500
TRIES = 3
AROUND = timedelta(minutes=65)
"""How far from an order's last change its label is looked for in a list: mostly that change is the label. The hour that
ShipStation's clock repeats is one moment for orders, and labels have their own times in it."""


@dataclass(slots=True)
class _Batch:
    """Orders whose labels are being read.

    left:  of those, what no label in force has been found for yet
    page:  of the list; None while orders are asked for one by one, `todo` being the next ones
    """

    wanted: dict[str, Wanted]
    left: dict[str, Wanted]
    page: int | None
    todo: list[str]
    elsewhere: bool = False  # among what was shipped elsewhere
    found: dict[str, list[Label]] = field(default_factory=dict)

    @classmethod
    def of(cls, wanted: Sequence[Wanted]) -> "_Batch":
        all_labels = [one for one in wanted if one.tries == links.ALL_OF_THEM]
        by_id = {one.shipstation_order_id: one for one in all_labels or wanted}
        singly = bool(all_labels) or len(by_id) <= SINGLY
        return cls(by_id, dict(by_id), None if singly else 1, list(by_id) if singly else [])

    def query(self) -> dict[str, str]:
        """Return what to ask for next."""
        paging = {"sortBy": "CreateDate", "sortDir": "ASC", "pageSize": "500"}
        paging |= {} if self.elsewhere else {"includeShipmentItems": "true"}
        if self.page is None:
            return {"orderId": self.todo[0], **paging}
        changed_at = [one.modified_at for one in self.left.values()]
        window = {
            "createDateStart": to_pacific(min(changed_at) - AROUND),
            "createDateEnd": to_pacific(max(changed_at) + AROUND),
        }
        return {**window, "page": str(self.page), **paging}

    def took(self, page: LabelPage) -> bool:
        """Take over an answer; return whether there is more to ask for in the same place."""
        for label in page.labels:
            if label.shipstation_order_id in self.left:
                self.found.setdefault(label.shipstation_order_id, []).append(label)
        if self.page is None:
            self.todo.pop(0)
            return bool(self.todo)
        self.page += 1
        return page.count > 0 and self.page <= page.pages

    def found_in_force(self) -> list[Wanted]:
        """Return the orders of which a label in force has been found, and ask no more for them."""
        known = [one for one in self.left.values() if any(not it.is_void for it in self._labels(one))]
        self.leave(known)
        return known

    def leave(self, known: Sequence[Wanted]) -> None:
        """Ask no more for these."""
        self.left = {key: one for key, one in self.left.items() if one not in known}

    def look_elsewhere(self) -> bool:
        """Go on among what was shipped elsewhere; return whether there is something to look for."""
        singly, self.elsewhere = self.page is None, True
        self.page, self.todo = None if singly else 1, list(self.left) if singly else []
        return bool(self.left)

    def _labels(self, one: Wanted) -> list[Label]:
        return self.found.get(one.shipstation_order_id, [])


class ReadLabels:
    """Reads labels, a call a step. Used by one thread."""

    def __init__(self) -> None:
        self._batch: _Batch | None = None
        self._read = 0  # orders whose labels have been read, since there were none left to read

    @property
    def headway(self) -> Headway | None:
        """How far it is, if that is more than a batch."""
        if not self._read:
            return None
        return Headway("labels", self._read, None, "orders", f"labels of {self._read} orders read")

    def step(self, step: SyncStep) -> bool:
        """Make one call; return whether there is more to do now. Raises NoBudget.

        A list that can't be read is left for ten minutes: tracking is late then, and nothing else waits for it.
        """
        batch = self._batch or self._begin(step.connection)
        if batch is None:
            self._read = 0
            return False
        endpoint, question, read = _asking(step.shipstation, batch)
        try:
            page = step.ask(endpoint, question, read)
        except Transient as error:
            logger.warning("Tracking could not be read: %s", error, extra={"event": "no_labels"})
            self._batch = None
            with step.transaction():
                links.put_off_shipments(step.connection, list(batch.left.values()), tried=False)
            return False
        if batch.took(page):
            return True
        show_labels(step, batch.found_in_force(), batch.found)
        with step.transaction():
            if batch.page is not None:
                batch.leave(_known_already(step.connection, list(batch.left.values())))
            if not batch.elsewhere and batch.look_elsewhere():
                return True
            self._leave(step.connection, list(batch.left.values()), by_list=batch.page is not None)
        self._batch = None
        self._read += len(batch.wanted)
        return True

    def _begin(self, connection: Connection) -> _Batch | None:
        wanted = links.wanted_shipments(connection, ORDERS_A_BATCH)
        self._batch = _Batch.of(wanted) if wanted else None
        return self._batch

    def _leave(self, connection: Connection, unknown: Sequence[Wanted], *, by_list: bool) -> None:
        """Ask for each by itself; later again for orders without any label, and no more after some tries."""
        if by_list:
            links.want_all_shipments(connection, [one.shipstation_order_id for one in unknown])
            return
        given_up = [one for one in unknown if one.tries >= TRIES]
        links.note_shipments_read(connection, given_up)
        links.put_off_shipments(connection, [one for one in unknown if one not in given_up], tried=True)
        for one in given_up:
            text = "Order %s at ShipStation is shipped without a label: it stays without tracking"
            logger.info(text, one.shipstation_order_id, extra={"event": "no_label"})


def _asking(shipstation: ShipStation, batch: _Batch) -> tuple[str, Callable[[], Answer], Callable[[Answer], LabelPage]]:
    query = batch.query()
    if batch.elsewhere:
        return (
            "GET /fulfillments",
            lambda: shipstation.list_fulfillments(query),
            lambda answer: decode_fulfillments(answer.json()),
        )
    return (
        "GET /shipments",
        lambda: shipstation.list_shipments(query),
        lambda answer: decode_shipments(answer.json()),
    )


def _known_already(connection: Connection, orders: Sequence[Wanted]) -> list[Wanted]:
    """Return those of which no new label has come, and whose rows have a tracking number: that one stands."""
    rows = links.tracked_rows(connection, [one.shipstation_order_id for one in orders])
    tracked = {row.shipstation_order_id for row in rows if row.tracking_number}
    known = [one for one in orders if one.shipstation_order_id in tracked]
    links.note_shipments_read(connection, known)
    return known


def show_labels(step: SyncStep, orders: Sequence[Wanted], found: dict[str, list[Label]]) -> None:
    """Show on the rows of these orders what their labels say. A row that can't be written costs no other one."""
    if not orders:
        return
    connection = step.connection
    with step.transaction():
        rows = links.tracked_rows(connection, [one.shipstation_order_id for one in orders])
        shown = [_shown(row, found[row.shipstation_order_id]) for row in rows]
        written = _write(connection, [row for row in shown if row])
        late = {row.shipstation_order_id for row in rows if written.get(row.row_id) is False}
        links.note_shipments_read(connection, [one for one in orders if one.shipstation_order_id not in late])
        links.put_off_shipments(connection, [one for one in orders if one.shipstation_order_id in late], tried=False)
    step.tally(sum(written.values()))


def _shown(row: Tracked, labels: Sequence[Label]) -> TrackingRow | None:
    shown = tracking_of(labels, row.tracking_number)
    if shown is None:
        return None
    return TrackingRow(
        row.row_id,
        row.order_number,
        shown.number or None,
        shown.carrier_code or None,
        shown.service_code or None,
        service_name(shown.service_code) or None,
        shown.by_sku,
    )


def _write(connection: Connection, rows: Sequence[TrackingRow]) -> dict[int, bool]:
    """Write these rows; return {row id: it was written} of those that differed."""
    if not rows:
        return {}
    try:
        with connection.transaction():
            return tracking.show_tracking(connection, rows)
    except psycopg.Error as error:
        if not concerns_one(connection, error):
            raise
        if len(rows) == 1:
            text = "Row %d can't show its tracking: %s"
            logger.warning(text, rows[0].row_id, sentence(error), extra={"event": "row_refused"})
            return {rows[0].row_id: False}
    return {row_id: done for row in rows for row_id, done in _write(connection, [row]).items()}
