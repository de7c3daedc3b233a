"""The claim: one transaction that turns due rows into orders of our own, or sets them aside with a reason.

It writes nothing to the shop's tables: `sending` stands in the ledger, and only the rows that the ledger's insert
returns are ours. What is to be shown in rows is shown after it. Rows that others hold locked are left alone and named,
so that they get a time of their own.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from listener.database import Connection, pipelined
from listener.flags import Flags
from listener.orders import Order
from listener.store import api_calls, inbox, ledger, mirror
from listener.store.inbox import Claimed, ClaimedRow
from listener.store.ledger import Candidate, Settled, Verdict
from listener.store.rows import write_rows
from listener.workflows.admit import admit, candidate_of, is_settled
from listener.workflows.adopt import SEVERAL
from listener.workflows.show_outcomes import refuse_doubles, show_outcomes

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Claim:
    """What one claim took.

    rows:    the number of rows it dealt with
    locked:  ids of rows that others hold locked, or of which nobody knows yet whether ShipStation has them
    aside:   what is not sent, or not yet, and why
    settled: {ledger key: row id} of what the ledger has settled before, and the row does not show
    doubles: (row id, id of the row that has the same number)
    """

    to_send: list[tuple[Candidate, Order]] = field(default_factory=list)
    rows: int = 0
    locked: tuple[int, ...] = ()
    aside: list[Verdict] = field(default_factory=list)
    settled: dict[str, int] = field(default_factory=dict)
    doubles: list[tuple[int, int]] = field(default_factory=list)


def claim_orders(
    connection: Connection,
    epoch: int,
    flags: Flags,
    limit: int,
    locked: Sequence[int],
    *,
    together: int | None,
    knows: Callable[[str], bool],
    keep: bool = True,
) -> Claim:
    """Claim up to `limit` due orders, leaving out the rows `locked`. Raises LeadLost when another leads.

    together: 0, or the number of suspects that may share a request (see `ledger.suspects`); None: all there are
    knows:    whether it is known what ShipStation has under a number; other orders are left for the next claim
    keep:     False takes it all back
    """
    with pipelined(connection, keep=keep):
        claimed = inbox.claim_due_rows(connection, epoch, limit, locked, together)
        claim = _sort(connection, claimed, flags, knows) if claimed.orders else Claim()
        to_send = [candidate for candidate, _ in claim.to_send]
        taken = ledger.claim(connection, to_send, epoch) if to_send else set
    mine = taken()
    return replace(
        claim,
        to_send=[pair for pair in claim.to_send if pair[0].order_key in mine],
        rows=len(claimed.orders) + len(claimed.locked),
        locked=claimed.locked + claim.locked,
    )


def show_set_aside(connection: Connection, claim: Claim) -> dict[int, str]:
    """Say what is not sent, and show it in the rows; return {row id: why the shop's database refused that}."""
    for verdict in claim.aside:
        number, there = verdict.candidate.order_number, verdict.shipstation_order_id
        if verdict.state in ("held_back", "rejected"):
            logger.warning("Order %s is not sent: %s", number, verdict.error, extra={"event": "not_sent"})
        elif verdict.state == "adopted":
            text = "Order %s is not sent: it is at ShipStation already, as %s"
            logger.info(text, number, there or "a shipped order", extra={"event": "adopted"})
    final = {v.candidate.order_key: v.candidate.order_inbox_id for v in claim.aside if v.row_status}
    to_show = claim.settled | final
    refused = refuse_doubles(connection, claim.doubles)
    return refused | {to_show[key]: reason for key, reason in show_outcomes(connection, list(to_show)).items()}


def rehearse(connection: Connection, epoch: int) -> None:
    """Do, and undo, all that an order's way asks of the server, so that the first one finds it prepared.

    With values as an order has them: psycopg prepares a statement once for each set of their types.
    """
    order = Candidate("", 0, "rehearsal", "rehearsal")
    accepted = Settled(order.order_key, "accepted", "1", "uploaded")
    with pipelined(connection, keep=False):
        ledger.suspects(connection)
        api_calls.take_when_due(connection, 200, "rehearsal")
        inbox.claim_due_rows(connection, epoch, 1, [], 0)
        ledger.claim(connection, [order], 0)
        ledger.record(connection, [accepted], epoch=0, http_status=200, max_attempts=1)
        write_rows(connection, [order.order_key])


def _sort(connection: Connection, claimed: Claimed, flags: Flags, knows: Callable[[str], bool]) -> Claim:
    """Write into the ledger what is not sent; return what is, and what is to be shown."""
    doubles = _doubles([row for row, _ in claimed.orders if row.ledger_key in (None, row.order_key)])
    single = [(row, order) for row, order in claimed.orders if row.id not in doubles]
    settled = [row for row, _ in single if is_settled(row)]
    unsettled = [(row, order) for row, order in single if not is_settled(row)]
    verdicts = [
        (row, order, admit(row, order, flags, claimed.known)) for row, order in unsettled if knows(row.order_key)
    ]
    aside = [verdict for _, _, verdict in verdicts if verdict is not None]
    _set_aside(connection, settled, aside)
    return Claim(
        to_send=[(candidate_of(row), order) for row, order, verdict in verdicts if verdict is None],
        locked=tuple(row.id for row, _ in unsettled if not knows(row.order_key)),
        aside=aside,
        settled={row.ledger_key: row.id for row in settled if row.ledger_key},
        doubles=list(doubles.items()),
    )


def _doubles(rows: Sequence[ClaimedRow]) -> dict[int, int]:
    """Return {row id: id of the row that has the same number but for case or blanks}; the first of a batch wins."""
    first: dict[str, int] = {}
    doubles: dict[int, int] = {}
    for row in rows:
        other = row.other_row_id or first.setdefault(row.order_key, row.id)
        if other != row.id:
            doubles[row.id] = other
    return doubles


def _set_aside(connection: Connection, settled: Sequence[ClaimedRow], verdicts: Sequence[Verdict]) -> None:
    if settled:
        ledger.relink(connection, [(row.ledger_key or row.order_key, row.id) for row in settled])
    if verdicts:
        ledger.set_aside(connection, verdicts)
    for verdict in verdicts:
        if verdict.conflict:
            mirror.note_conflict(connection, verdict.candidate.order_key, SEVERAL, verdict.conflict)
