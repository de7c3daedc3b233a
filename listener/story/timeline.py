"""One order's story, for `explain` and the page: how it stands, what happened to it, and what happens next. Pure.

Texts from outside are repeated as they are: whoever shows the story escapes them. Times are aware; nothing here reads a
clock, since "now" is the server's and stands in the dossier.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import attrgetter

from listener.story.dossier import Dossier, HistoryLine, Ledger
from listener.story.prospects import Standing, obstacles
from listener.story.standing import REQUEUED, remote_of, standing_of
from listener.story.wording import soon

HISTORY_WORDS = {
    "waiting": "waits",
    "sending": "is being sent",
    "unknown": "is in doubt",
    "accepted": "is at ShipStation",
    "adopted": "found at ShipStation, not sent by us",
    "rejected": "failed",
    "excluded": "is set aside",
    "held_back": "",
}

SHOWN_AS = {
    "awaiting_payment": {"awaiting_payment"},
    "awaiting_shipment": {"awaiting_shipment", "uploaded"},
    "on_hold": {"on_hold"},
    "cancelled": {"cancelled"},
    "shipped": {"shipped"},
}
"""What the row of an order may say that has this status at ShipStation, without anybody having changed it."""


@dataclass(frozen=True, slots=True)
class Event:
    """A line of the timeline."""

    at: datetime
    what: str


@dataclass(frozen=True, slots=True)
class Story:
    """`state` is one word for programs, `sentence` says how the order stands; `remarks` are what is odd about it."""

    number: str
    state: str
    sentence: str
    remarks: tuple[str, ...]
    timeline: tuple[Event, ...]
    next: str


def tell(order: Dossier) -> Story:
    """Return the story of an order that is known."""
    standing = standing_of(order)
    timeline = tuple(sorted(_events(order), key=attrgetter("at")))
    sentence = f"Order {order.number} {standing.sentence}."
    return Story(order.number, standing.state, sentence, tuple(_remarks(order, standing)), timeline, standing.following)


def _remarks(order: Dossier, standing: Standing) -> Iterator[str]:
    row, ledger = order.row, order.ledger
    if ledger is not None:
        yield from _changed(order, ledger)
    for double in order.rows:
        if row is not None and double.id != row.id:
            says = double.failure_reason or double.status
            yield f"Row {double.id} has the same number, written {double.order_number!r}: {says}."
    for conflict in order.conflicts:
        ids = ", ".join(conflict.shipstation_order_ids)
        yield f"Somebody should look at this: {conflict.kind} ({ids})."
    for aside in order.put_aside:
        then = soon(aside.next_try, order.now)
        yield f"What ShipStation has done with it is not shown here yet: {aside.error}; next try {then}."
    if standing.state != "due" and order.lockers:
        yield from (f"At this moment {obstacle.what}." for obstacle in obstacles(order) if "locked" in obstacle.what)


def _changed(order: Dossier, ledger: Ledger) -> Iterator[str]:
    """Say what the shop has done with the row of an order that was settled."""
    row = order.row
    if ledger.state not in ("accepted", "adopted", "rejected", "excluded"):
        return
    if row is None:
        where = f"bears the number {order.renamed_to} now" if order.renamed_to else "is not in orders_inbox any more"
        yield f"Its row {where}."
    elif ledger.state in ("accepted", "adopted") and ledger.row_written:
        remote = remote_of(order, ledger.shipstation_order_id)
        fitting = {ledger.row_status, "uploaded", "shipped"} | (SHOWN_AS.get(remote.status, set()) if remote else set())
        if row.status == "awaiting_shipment" and row.shipstation_order_id:
            fitting.add(row.status)  # production's way to say: sent, and not shipped yet
        if row.status not in fitting:
            yield f"Changed after it was sent: the row now says {row.status}; what ShipStation has stays as it is."


def _events(order: Dossier) -> Iterator[Event]:
    for row in order.rows:
        if row.created_at is not None:
            source = f" ({row.source_system})" if row.source_system else ""
            yield Event(row.created_at, f"row {row.id} of orders_inbox{source}, dated {row.order_date}")
    if order.imported is not None:
        yield Event(order.imported.at, f"imported from {order.imported.file or 'a file'}")
    for refused in order.quarantined:
        line = f", line {refused.line}" if refused.line is not None else ""
        yield Event(refused.at, f"refused in {refused.file}{line}: {refused.reason}")
    if order.ledger is not None and not order.history:
        yield Event(order.ledger.first_seen_at, "seen by the listener")
    yield from (Event(line.at, _words(line)) for line in order.history)
    yield from _requeues(order)
    yield from _at_shipstation(order)


def _words(line: HistoryLine) -> str:
    return ": ".join(filter(None, [HISTORY_WORDS.get(line.state, line.state), line.note]))


def _requeues(order: Dossier) -> Iterator[Event]:
    """Yield the requests that changed nothing in the ledger; the others stand in its history."""
    for requeue in order.requeues:
        note = f"{REQUEUED}{requeue.by}"
        if not any(line.note == note and abs(line.at - requeue.at) < timedelta(seconds=5) for line in order.history):
            yield Event(requeue.at, note)


def _at_shipstation(order: Dossier) -> Iterator[Event]:
    for remote in order.remote:
        name = f"ShipStation: order {remote.shipstation_order_id}"
        yield Event(remote.created_at, f"{name} was made")
        merged = f", merged into {remote.merged_into}" if remote.merged_into else ""
        yield Event(remote.modified_at, f"{name} is {remote.status}{merged}")
    for conflict in order.conflicts:
        yield Event(conflict.at, f"{conflict.kind}: {', '.join(conflict.shipstation_order_ids)}")
