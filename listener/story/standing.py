"""How one order stands, in a sentence that a person in the shop understands, and what happens next. Pure.

TELL has a sentence for each state of the ledger, read together with the order's row; `prospects` has those of an order
that the ledger does not hold. Sentences go on after "Order 1001", and have no full stop of their own.
"""

from collections.abc import Callable
from datetime import datetime

from listener.story.dossier import Dossier, InboxRow, Ledger, Remote
from listener.story.prospects import Standing, due, failed, manual, with_obstacles, without_ledger
from listener.story.requeue import alive_there, is_under_way
from listener.story.wording import instant, requeue_command, soon, times

REQUEUED = "requeued by "
"""How the ledger's note begins when somebody has asked for another try."""


def standing_of(order: Dossier) -> Standing:
    """Return how an order stands that is known."""
    ledger, row = order.ledger, order.row
    if ledger is None:
        return without_ledger(order)
    if row is not None and row.is_pending and ledger.state == "rejected" and ledger.row_written:
        return due(order, row)  # the shop has set it back, and so asks for another try
    return TELL[ledger.state](order, ledger, row)


def _sending(order: Dossier, ledger: Ledger, row: InboxRow | None) -> Standing:
    if not is_under_way(order, ledger):
        return _unknown(order, ledger, row)
    since = f" since {instant(ledger.started_at)}" if ledger.started_at else ""
    following = "ShipStation's answer decides; without one the order is looked up there"
    return Standing("sending", f"is being sent{since}", following)


def _unknown(order: Dossier, ledger: Ledger, row: InboxRow | None) -> Standing:
    when = f" of {instant(ledger.started_at)}" if ledger.started_at else ""
    why = f"a request{when} got no answer"
    if ledger.doubt == "locked there":
        why = "ShipStation refused it as one that is shipped or cancelled there already"
    sentence = f"is in doubt: {why}; it is looked up before it is sent again"
    look = f"it is looked up {_then(ledger.not_before, order.now)}"
    return Standing("in_doubt", sentence, with_obstacles(order, look))


def _waiting(order: Dossier, ledger: Ledger, row: InboxRow | None) -> Standing:
    if row is None or not row.is_pending:
        return _not_pending_any_more(order, row)
    if ledger.not_before is None or ledger.not_before <= order.now:
        return due(order, row)
    then = _then(ledger.not_before, order.now)
    words = _last_words(order, ledger)
    if ledger.attempts:
        why = f"ShipStation refused it {times(ledger.attempts)}{f', the last time with «{words}»' if words else ''}"
        most = order.surroundings.flags.max_upload_attempts
        following = f"it is tried again {then}; with {most} refusals it fails (max_upload_attempts)"
        return Standing("waiting", f"waits: {why}; next try {then}", with_obstacles(order, following))
    if ledger.looks:
        following = "it goes when its items and its address are there, and fails when they do not come in seconds"
        sentence = f"waits: not all of it is there yet ({words}); next look {then}"
        return Standing("waiting", sentence, with_obstacles(order, following))
    why = words or "it was not sent yet"
    return Standing("waiting", f"waits: {why}; next try {then}", with_obstacles(order, f"it is tried again {then}"))


def _not_pending_any_more(order: Dossier, row: InboxRow | None) -> Standing:
    if row is None:
        where = f"the shop changed its number to {order.renamed_to}" if order.renamed_to else "its row is gone"
        return Standing("gone", f"is not sent any more: while it waited, {where}", "nothing")
    if row.shipstation_order_id:
        sentence = f"is not sent by us: while it waited, its row got ShipStation's id {row.shipstation_order_id}"
        return Standing("at_shipstation", sentence, "nothing: a row with an id is not sent")
    sentence = f"is not sent any more: changed while it waited, its row now says {row.status}"
    return Standing("not_pending", sentence, "it goes when its status is awaiting_shipment again")


def _accepted(order: Dossier, ledger: Ledger, row: InboxRow | None) -> Standing:
    since = f" since {instant(ledger.settled_at)}" if ledger.settled_at else ""
    return _there(order, ledger, row, f"is at ShipStation as {ledger.shipstation_order_id}{since}", "at_shipstation")


def _adopted(order: Dossier, ledger: Ledger, row: InboxRow | None) -> Standing:
    there = f" as {ledger.shipstation_order_id}" if ledger.shipstation_order_id else ""
    who = "shipped_orders had it" if order.shipped and ledger.row_status == "shipped" else "ShipStation had it"
    return _there(order, ledger, row, f"was not sent by us: {who} already{there} (adopted)", "adopted")


def _there(order: Dossier, ledger: Ledger, row: InboxRow | None, sentence: str, state: str) -> Standing:
    """Add what ShipStation has done since with an order that it has."""
    if order.remote and not alive_there(order.remote) and not order.shipped:
        following = f"nothing; {requeue_command(order.number, again=True)} makes a new order there"
        return Standing("cancelled_there", f"{sentence}, and cancelled there since", following)
    if (remote := remote_of(order, ledger.shipstation_order_id)) is not None:
        sentence += f"; there it is {remote.status} (as of {instant(remote.modified_at)})"
    if row is not None and not ledger.row_written:
        return Standing(state, sentence, "its row gets the id with the next pass of the upload")
    return Standing(state, sentence, "nothing: the upload has done its part")


def _rejected(order: Dossier, ledger: Ledger, row: InboxRow | None) -> Standing:
    reason = ledger.error or "no reason is known"
    if row is not None and ledger.row_written and row.status != "failed":
        sentence = f"failed ({reason}), and was changed since: its row now says {row.status}"
        return Standing("not_pending", sentence, "it goes when its status is awaiting_shipment again")
    return failed(order, reason)


def _excluded(order: Dossier, ledger: Ledger, row: InboxRow | None) -> Standing:
    return manual(order)


def _held_back(order: Dossier, ledger: Ledger, row: InboxRow | None) -> Standing:
    if row is None or not row.is_pending:
        return _not_pending_any_more(order, row)
    reason = (ledger.error or "it is too old").removeprefix("held back: ")
    sentence = f"is held back: {reason}; {requeue_command(order.number)} sends it"
    return Standing("held_back", sentence, "nothing until somebody requeues it")


TELL: dict[str, Callable[[Dossier, Ledger, InboxRow | None], Standing]] = {
    "waiting": _waiting,
    "sending": _sending,
    "unknown": _unknown,
    "accepted": _accepted,
    "adopted": _adopted,
    "rejected": _rejected,
    "excluded": _excluded,
    "held_back": _held_back,
}
"""Read this table as the specification: each state of the ledger, and who tells it."""


def remote_of(order: Dossier, shipstation_order_id: str | None) -> Remote | None:
    """Return the order at ShipStation that has this id."""
    return next((there for there in order.remote if there.shipstation_order_id == shipstation_order_id), None)


def _last_words(order: Dossier, ledger: Ledger) -> str | None:
    """Return why it waits; of one that was requeued, why it waited before."""
    if ledger.error is None or not ledger.error.startswith(REQUEUED):
        return ledger.error
    notes = [line.note for line in order.history if line.note and not line.note.startswith(REQUEUED)]
    return notes[-1] if notes else None


def _then(at: datetime | None, now: datetime) -> str:
    return "as soon as the listener looks" if at is None or at <= now else soon(at, now)
