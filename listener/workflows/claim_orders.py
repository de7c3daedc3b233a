"""The claim: one transaction that turns due rows into orders of our own, or sets them aside with a reason.

It writes nothing to a row that is to be sent: `sending` stands in the ledger, and only the rows that the ledger's
insert returns are ours. Rows that others hold locked are left alone and named, so that they get a time of their own.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from listener.database import Connection
from listener.flags import Flags
from listener.leader import stand_fast
from listener.orders import Order
from listener.store import inbox, ledger
from listener.store.inbox import ClaimedRow
from listener.store.ledger import Candidate, Verdict
from listener.workflows.admit import admit, candidate_of, is_double, is_settled

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Claim:
    """What one claim took: orders to send, the number of rows it dealt with, and ids that others hold locked."""

    to_send: list[tuple[Candidate, Order]]
    rows: int
    locked: tuple[int, ...]


def claim_orders(connection: Connection, epoch: int, flags: Flags, limit: int, locked: Sequence[int]) -> Claim:
    """Claim up to `limit` due orders, leaving out the rows `locked`. Raises LeadLost when another leads."""
    with connection.pipeline(), connection.transaction():  # what needs no answer in between shares a round trip
        stand_fast(connection, epoch)
        rows = inbox.claim_due_rows(connection, limit, locked)
        ours = [row for row in rows if row.ours]
        to_send = _sort(connection, ours, flags) if ours else []
        mine = ledger.claim(connection, [candidate for candidate, _ in to_send], epoch) if to_send else set()
    to_send = [pair for pair in to_send if pair[0].order_key in mine]
    return Claim(to_send, len(rows), tuple(row.id for row in rows if not row.ours))


def rehearse(connection: Connection) -> None:
    """Have the server parse and plan what a claim and its record ask, so that the first order does not wait for it."""
    with connection.transaction(force_rollback=True):
        inbox.claim_due_rows(connection, 0, [])
        inbox.read_claimed(connection, [])
        ledger.claim(connection, [], 0)
        ledger.record(connection, [], epoch=0, http_status=None, max_attempts=1)
        inbox.write_rows(connection, [])


def _sort(connection: Connection, rows: Sequence[ClaimedRow], flags: Flags) -> list[tuple[Candidate, Order]]:
    """Write down what is not sent; return what is."""
    doubles = _doubles(rows)
    for row in doubles:
        inbox.refuse_double(connection, row.id, doubles[row])
    rows = [row for row in rows if row not in doubles]
    settled = [row for row in rows if is_settled(row)]
    fresh = [row for row in rows if not is_settled(row)]
    orders, shipped = inbox.read_claimed(connection, fresh)
    to_send: list[tuple[Candidate, Order]] = []
    verdicts: list[Verdict] = []
    for row, order in zip(fresh, orders, strict=True):
        verdict = admit(row, order, flags, shipped)
        if verdict is None:
            to_send.append((candidate_of(row), order))
        else:
            verdicts.append(verdict)
    _show(connection, settled, verdicts)
    return to_send


def _doubles(rows: Sequence[ClaimedRow]) -> dict[ClaimedRow, int]:
    """Return {row: id of the row that has the same number but for case or blanks}; the first of a batch wins."""
    first: dict[str, int] = {}
    doubles: dict[ClaimedRow, int] = {}
    for row in rows:
        other = row.ledger_inbox_id if is_double(row) else first.setdefault(row.order_key, row.id)
        if other is not None and other != row.id:
            doubles[row] = other
    return doubles


def _show(connection: Connection, settled: Sequence[ClaimedRow], verdicts: Sequence[Verdict]) -> None:
    if settled:
        ledger.relink(connection, [(row.order_key, row.id) for row in settled])
    if verdicts:
        ledger.set_aside(connection, verdicts)
    for verdict in verdicts:
        if verdict.state in ("held_back", "rejected"):
            number, reason = verdict.candidate.order_number, verdict.error
            logger.warning("Order %s is not sent: %s", number, reason, extra={"event": verdict.state})
    keys = [row.order_key for row in settled] + [v.candidate.order_key for v in verdicts if v.row_status]
    if keys:
        inbox.write_rows(connection, keys)
