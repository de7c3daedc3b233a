"""Invented orders as the database could hold them: one that is due, and ways to change it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from listener.flags import Flags
from listener.story.dossier import Dossier, InboxRow, Leader, Ledger, Remote, Surroundings

NOW = datetime(2026, 3, 1, 14, 2, 30, tzinfo=UTC)
EARLIER = NOW - timedelta(minutes=5)
AROUND = Surroundings(Flags(), Leader("listener one", 7), None, 0.0, EARLIER + timedelta(minutes=4))
ROW = InboxRow(17, "1001", "awaiting_shipment", "", "", "2026-03-01", 0, "X-Cart", EARLIER, 2)
LEDGER = Ledger(
    order_inbox_id=17,
    order_number="1001",
    state="waiting",
    shipstation_key="listener-1001",
    shipstation_order_id=None,
    attempts=0,
    looks=0,
    not_before=None,
    doubt=None,
    batch_limit=None,
    again=1,
    epoch=7,
    first_seen_at=EARLIER,
    started_at=EARLIER,
    settled_at=None,
    requeued_at=None,
    http_status=None,
    error=None,
    row_status=None,
    row_written=False,
)
THERE = Remote("123456", "awaiting_shipment", EARLIER, EARLIER, None)


def order(*, row: InboxRow | None = ROW, **known: Any) -> Dossier:
    rows = (row,) if row else ()
    return Dossier("1001", "1001", NOW, **{"surroundings": AROUND, "rows": rows} | known)


def ledger(state: str, **columns: Any) -> Ledger:
    return replace(LEDGER, state=state, **columns)


def row(**columns: Any) -> InboxRow:
    return replace(ROW, **columns)


def around(**fields: Any) -> Surroundings:
    return replace(AROUND, **fields)
