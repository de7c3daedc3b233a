"""What the page shows besides the figures in memory: the newest orders, what needs a look, receipts, and how it ran."""

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from listener.database import Connection
from listener.history import SHOWN, Point, as_columns, begin_of, points_of
from listener.metrics import Metrics
from listener.store.config import newest_receipts
from listener.store.minutes import read_course
from listener.store.recent import Recent, Stuck, newest_orders, newest_refused, newest_stuck
from listener.story.brief import brief
from listener.story.prospects import remedy_of

ORDERS = 20
NEEDING_A_LOOK = 10

LATE = timedelta(minutes=10)
"""How late a minute may be written in the ordinary way: what is older is not read again each time."""

READ_WHOLE_EVERY = timedelta(minutes=10)
"""Minutes that a process could not write at once may come a day late."""


class Overview:
    """Reads the overview. Called by one thread at a time; keeps the points of the last hours, which do not change."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._points: dict[datetime, Point] = {}
        self._read_whole_at = datetime.fromtimestamp(0, UTC)

    def read(self, connection: Connection) -> dict[str, Any]:
        """Return what /page/past.json says while the database answers."""
        now = datetime.now(UTC)
        return {
            "as_of": now.isoformat(),
            "orders": [_order(order) for order in newest_orders(connection, ORDERS)],
            "stuck": [_stuck(order) for order in newest_stuck(connection, NEEDING_A_LOOK)],
            "refused": [asdict(refused) for refused in newest_refused(connection, NEEDING_A_LOOK)],
            "receipts": {receipt.parameter_name: asdict(receipt) for receipt in newest_receipts(connection)},
            "history": self._history(connection, now),
        }

    def _history(self, connection: Connection, now: datetime) -> dict[str, Any]:
        """Read on, or, now and then, all of it anew. What is not written yet comes from memory."""
        unwritten = self._metrics.latest_minutes()
        since = min([now - LATE, *(minute.minute for minute in unwritten)])
        if now - self._read_whole_at > READ_WHOLE_EVERY:
            since = now - SHOWN
        since = begin_of(since)
        minutes = {(minute.minute, minute.process): minute for minute in read_course(connection, since, now)}
        minutes |= {(minute.minute, minute.process): minute for minute in unwritten}
        kept = {begin: point for begin, point in self._points.items() if now - SHOWN < begin < since}
        self._points = kept | points_of(minutes.values())
        if since <= now - SHOWN:
            self._read_whole_at = now
        return as_columns(self._points, now)


def _order(order: Recent) -> dict[str, Any]:
    word, kind = brief(order.row_status, order.state, pending=order.pending, row_written=order.row_written)
    return {
        "number": order.order_number,
        "word": word,
        "kind": kind,
        "shipstation_order_id": order.shipstation_order_id,
        "arrived_at": order.arrived_at,
        "settled_at": order.settled_at,
        "next_try_at": order.not_before if order.state in ("waiting", "unknown") else None,
        "error": order.error,
    }


def _stuck(order: Stuck) -> dict[str, Any]:
    return {
        "number": order.order_number,
        "state": order.state,
        "since": order.since,
        "attempts": order.attempts,
        "reason": order.reason.removeprefix("held back: "),
        "todo": remedy_of(order.state, order.order_number, order.reason),
    }
