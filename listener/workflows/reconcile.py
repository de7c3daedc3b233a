"""Once a day every open order is compared with ShipStation, so that what was missed heals.

What the mirror shows to differ is looked up first. Then ShipStation lists what it has open, status by status, and each
of those orders is taken over like any other. A row whose order no list has shown is looked up by its id: it was
shipped, cancelled, merged or deleted there, or it has a status of which there is no list. A page number that skips an
order in a list that moves only leads to a look-up more. At last come the labels that were voided.
"""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from listener.errors import Transient
from listener.leader import LeadLost
from listener.shipstation.labels import LabelPage, decode_shipments, voided_orders
from listener.shipstation.pacific import to_pacific
from listener.shipstation.watermark import DEFAULT_DAYS
from listener.store import links, mirror, reconciliation, sync
from listener.workflows.adopt import MIRROR_DAYS
from listener.workflows.plan_rows import Json
from listener.workflows.retry_failures import GONE
from listener.workflows.route import MEANS_UPLOADED, OPEN_HERE, WORDS
from listener.workflows.sync_step import SyncStep

logger = logging.getLogger(__name__)

EVERY = timedelta(days=1)
FEW = 3
"""So many open orders are looked up one by one; for more a list is cheaper."""


@dataclass(slots=True)
class _Run:
    """One reconciliation. lists: the statuses whose lists are still to be read, and the page of the next."""

    began_at: datetime
    lists: list[str]
    voids_since: datetime
    page: int = 1
    listed: int = 0
    unlisted: bool = False  # they have been put down for a look-up


class Reconcile:
    """Reconciles, one call a step. Used by one thread."""

    def __init__(self) -> None:
        self._run: _Run | None = None
        self._rests = False

    def begin_cycle(self) -> None:
        """Go on with what could not be read in the last cycle."""
        self._rests = False

    def is_due(self, last: datetime | None, now: datetime) -> bool:
        """Return whether there is something to do in this cycle. last: when it was last begun."""
        return not self._rests and (self._run is not None or last is None or now - last >= EVERY)

    def step(self, step: SyncStep, last: datetime | None) -> bool:
        """Make one call; return whether there is more to do now. Raises NoBudget. last: when it was last begun."""
        run = self._run or self._begin(step, last)
        try:
            if run.lists:
                self._read_list(step, run)
                return True
            if not run.unlisted:
                self._put_down_unlisted(step, run)
                return True
            if self._read_voids(step, run):
                return True
        except LeadLost:
            raise
        except Transient as error:
            logger.warning("Open orders could not be compared: %s", error, extra={"event": "reconcile_failed"})
            if run.lists:  # its orders will be looked up one by one
                run.lists.pop(0)
                run.page = 1
                return True
            self._rests = True
            return False
        with step.transaction():
            sync.note_reconciled(step.connection, run.began_at)
        self._run = None
        return False

    def _begin(self, step: SyncStep, last: datetime | None) -> _Run:
        """Put down what differs by the mirror, and see which lists are needed."""
        now = step.now()
        accepted = {status: _words_for(status) for status in WORDS}
        with step.transaction():
            differing = reconciliation.put_down_differing(step.connection, accepted, OPEN_HERE, GONE)
            counts = reconciliation.count_open(step.connection, OPEN_HERE)
        lists = sorted({_status_of(word) for word in counts}) if sum(counts.values()) > FEW else []
        since = (last or now - timedelta(days=DEFAULT_DAYS)) - timedelta(hours=1)
        self._run = _Run(now, lists, since)
        if counts or differing:
            text = "Comparing %d open orders with ShipStation: %d differ by what is known of it already"
            logger.info(text, sum(counts.values()), differing, extra={"event": "reconcile"})
        return self._run

    def _read_list(self, step: SyncStep, run: _Run) -> None:
        query = {
            "orderStatus": run.lists[0],
            "createDateStart": to_pacific(run.began_at - timedelta(days=MIRROR_DAYS)),
            "sortBy": "CreateDate",
            "sortDir": "ASC",
            "pageSize": "500",
            "page": str(run.page),
        }
        body = step.ask("GET /orders", lambda: step.shipstation.list_orders(query), lambda answer: answer.json())
        orders, pages = _orders_and_pages(body)
        listed = step.listed(orders)
        step.show(listed)
        with step.transaction():
            mirror.note_seen(step.connection, [one.order.shipstation_order_id for one in listed])
        run.listed += len(listed)
        run.page += 1
        if run.page > pages or not orders:
            run.lists.pop(0)
            run.page = 1

    def _put_down_unlisted(self, step: SyncStep, run: _Run) -> None:
        with step.transaction():
            unlisted = reconciliation.put_down_unlisted(step.connection, run.began_at, OPEN_HERE, GONE)
        run.unlisted = True
        if run.listed or unlisted:
            text = "ShipStation has %d orders open; %d of ours are not among them and are looked up"
            logger.info(text, run.listed, unlisted, extra={"event": "reconcile"})

    def _read_voids(self, step: SyncStep, run: _Run) -> bool:
        """Have the labels of orders read again that have a voided one; return whether there are more pages."""
        query = {
            "voidDateStart": to_pacific(run.voids_since),
            "sortBy": "CreateDate",
            "sortDir": "ASC",
            "pageSize": "500",
            "page": str(run.page),
        }
        page: LabelPage = step.ask(
            "GET /shipments",
            lambda: step.shipstation.list_shipments(query),
            lambda answer: decode_shipments(answer.json()),
        )
        with step.transaction():
            links.want_all_shipments(step.connection, list(voided_orders(page.labels)))
        run.page += 1
        return page.count > 0 and run.page <= page.pages


def _orders_and_pages(body: object) -> tuple[list[Json], int]:
    orders = body.get("orders") if isinstance(body, dict) else None
    pages = body.get("pages") if isinstance(body, dict) else None
    if not isinstance(orders, list) or not isinstance(pages, int):
        raise Transient("ShipStation's answer has no list of orders")
    return [order for order in orders if isinstance(order, dict)], pages


def _words_for(status: str) -> tuple[str, ...]:
    """Return what a row may say of an order with this status."""
    return MEANS_UPLOADED if WORDS[status] == "uploaded" else (WORDS[status],)


def _status_of(word: str) -> str:
    """Return ShipStation's status for what an open row says."""
    return word if word in ("on_hold", "awaiting_payment") else "awaiting_shipment"
