"""What the sync could not take over is tried again: from its payload, by its id, by reading a stretch of the list."""

import logging
from datetime import datetime

from listener.errors import Transient
from listener.leader import LeadLost
from listener.shipstation.client import Answer
from listener.shipstation.listing import Cursor, decode_page, query_of
from listener.store import mirror, sync
from listener.store.sync import Failure
from listener.workflows.plan_rows import Json
from listener.workflows.sync_step import SyncStep

logger = logging.getLogger(__name__)

GONE = "gone from ShipStation"
"""Deleted there, or merged into an order that was never listed. Not found is not never made: a person has to look."""

ORDERS_A_STEP = 100


class RetryFailures:
    """Tries again what is due, one call a step. Used by one thread."""

    def step(self, step: SyncStep) -> bool:
        """Try some of it; return whether there is more to do now. Raises NoBudget."""
        if again := sync.due_failures(step.connection, ["apply"], ORDERS_A_STEP):
            step.show(step.listed([failure.payload for failure in again]))
            return True
        asked = sync.due_failures(step.connection, ["look up", "stretch"], 1)
        return bool(asked) and self._ask_again(step, asked[0])

    def _ask_again(self, step: SyncStep, failure: Failure) -> bool:
        """Ask once more; return False when that failed, as the next would probably too."""
        try:
            if failure.kind == "look up":
                look_up(step, failure)
            else:
                _read_stretch(step, failure)
        except LeadLost:
            raise
        except Transient as error:
            logger.warning("%s: %s", failure.error, error, extra={"event": "sync_failure"})
            with step.transaction():
                sync.postpone_failures(step.connection, failure.kind, [failure.id], str(error))
            return False
        with step.transaction():
            sync.forget_failures(step.connection, failure.kind, [failure.id])
        return True


def look_up(step: SyncStep, failure: Failure) -> None:
    """Ask for one order by its id, and take it over. Raises NoBudget, Transient."""
    order: Json | None = step.ask("GET /orders/id", lambda: step.shipstation.get_order(failure.id), _order_of)
    if order is not None:
        step.show(step.listed([order]))
        return
    with step.transaction():
        key = mirror.note_gone(step.connection, failure.id, failure.order_number or "", GONE)
    if key:
        text = "Order %s is gone from ShipStation, where it was %s: a person should look at it"
        logger.warning(text, key, failure.id, extra={"event": "gone"})


def _order_of(answer: Answer) -> Json | None:
    body = answer.json()
    if answer.status == 404:
        return None
    if not isinstance(body, dict) or not body.get("orderId"):
        raise Transient("ShipStation's answer is no order")
    return body


def _read_stretch(step: SyncStep, failure: Failure) -> None:
    """Read a stretch of the list again, from its last page to its first. Raises NoBudget, Transient.

    Nothing can come into it: an order that is changed leaves it, and the rest moves towards the pages still to be read.
    """
    start, end = (datetime.fromisoformat(failure.payload[name]) for name in ("start", "end"))
    pages = _read_page(step, Cursor(start, end))
    for page in range(pages, 1, -1):
        _read_page(step, Cursor(start, end, page))
    if pages > 1:
        _read_page(step, Cursor(start, end))
    logger.info("A stretch of ShipStation's list can be read again: %s", failure.id, extra={"event": "stretch_read"})


def _read_page(step: SyncStep, cursor: Cursor) -> int:
    """Read one page and take it over; return how many pages there are."""
    query = query_of(cursor)
    page, orders = step.ask(
        "GET /orders",
        lambda: step.shipstation.list_orders(query),
        lambda answer: (decode_page(answer.json(), step.now()), answer.json()["orders"]),
    )
    step.show(step.listed([order for order in orders if isinstance(order, dict)]))
    return page.pages
