"""Admission: whether a claimed order is sent, waits for its parts, or is set aside, and in which words. Pure."""

from listener.flags import Flags
from listener.manual_pattern import is_manual
from listener.orders import LONGEST_NUMBER, Order, shipstation_key
from listener.shipstation.flaws import flaw
from listener.shipstation.payload import problem
from listener.store.inbox import LOOKS, ClaimedRow, Known
from listener.store.ledger import Candidate, Verdict
from listener.workflows.adopt import adopt

LOOKS_AT = (0.05, 0.2, 0.5, 1.0, 2.0)
"""When to look again, in seconds since an order was first seen without all its parts.

A shop that commits the header and then the lines, each on its own, loses the race against us every time.
"""

FINAL_STATES = ("accepted", "adopted", "excluded")


def candidate_of(row: ClaimedRow) -> Candidate:
    """Return the ledger's view of a claimed row."""
    key = shipstation_key(row.order_key, row.again)
    return Candidate(row.order_key, row.id, row.order_number, key, row.batch_limit)


def is_settled(row: ClaimedRow) -> bool:
    """The ledger knows the outcome and the row does not show it: it is written again, and nothing is sent."""
    return row.ledger_state in FINAL_STATES or (row.ledger_state == "rejected" and not row.row_written)


def admit(row: ClaimedRow, order: Order, flags: Flags, known: Known) -> Verdict | None:
    """Return why this order is not sent now, or None: send it."""
    candidate = candidate_of(row)
    if len(row.order_key) > LONGEST_NUMBER:
        reason = f"the order number is longer than {LONGEST_NUMBER} characters"
        return Verdict(candidate, "rejected", reason, "failed")
    if row.order_key in known.shipped and row.again == 1:
        return Verdict(candidate, "adopted", None, "shipped", known.shipped[row.order_key] or None)
    if is_manual(row.order_number, flags.manual_order_pattern):
        return Verdict(candidate, "excluded", "the number is that of a manual order", "synced_manual")
    if adoption := adopt(known.there.get(row.order_key, ()), candidate.shipstation_key, row.again):
        return Verdict(
            candidate,
            adoption.state,
            adoption.error,
            adoption.row_status,
            adoption.shipstation_order_id,
            conflict=adoption.conflict,
        )
    if fault := flaw(order):
        return Verdict(candidate, "rejected", fault, "failed")
    if row.age_days > flags.max_order_age_days and not row.requeued:
        reason = f"held back: {row.age_days} days old, max_order_age_days is {flags.max_order_age_days}"
        return Verdict(candidate, "held_back", reason)
    return _wait_for_parts(row, order, candidate)


def _wait_for_parts(row: ClaimedRow, order: Order, candidate: Candidate) -> Verdict | None:
    missing = problem(order)
    pieces = sum(item.quantity for item in order.items)
    if missing is None and pieces >= row.total_items:
        return None
    if row.looks < LOOKS:
        wait = max(0.01, LOOKS_AT[row.looks] - row.seen_seconds)
        reason = missing or f"{pieces} of {row.total_items} pieces are there"
        return Verdict(candidate, "waiting", reason, wait_seconds=wait, looks=row.looks + 1)
    return Verdict(candidate, "rejected", missing, "failed", looks=LOOKS) if missing else None
