"""What becomes of an order that the ledger does not hold, and what stands in the way of one that is to be sent. Pure.

Admission (`workflows.admit`) decides; this foretells it from the same rules and in the same order.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from listener import manual_pattern
from listener.orders import LONGEST_NUMBER
from listener.story.dossier import Dossier, InboxRow
from listener.story.requeue import alive_there, cancelled_there
from listener.story.wording import instant, requeue_command, span, times

FORMER_PACE_SECONDS = 300
"""How often the upload runs while fast_polling_enabled is false."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How an order stands: one word for programs, a sentence that goes on after its name, and what follows."""

    state: str
    sentence: str
    following: str


@dataclass(frozen=True, slots=True)
class Obstacle:
    """What keeps an order from being sent now, and what ends that."""

    what: str
    end: str


def without_ledger(order: Dossier) -> Standing:
    """Return how an order stands that the ledger does not hold."""
    row = order.row
    if row is None:
        return _not_in_the_inbox(order)
    if row.is_pending:
        return due(order, row)
    if row.status == "failed":
        return failed(order, row.failure_reason or "no reason is given")
    if row.status == "synced_manual":
        return manual(order)
    if row.shipstation_order_id:
        sentence = f"is at ShipStation as {row.shipstation_order_id}, says its row ({row.status}); we did not send it"
        return Standing("at_shipstation", sentence, "nothing: a row with an id is not sent")
    if row.status == "shipped":
        return Standing("shipped", "is shipped, says its row; we did not send it", "nothing")
    sentence = f"is not to be sent: its row says {row.status}"
    return Standing("not_pending", sentence, "it goes when its status is awaiting_shipment")


def due(order: Dossier, row: InboxRow) -> Standing:
    """Return how an order stands that waits for nothing of its own any more."""
    if order.ledger is None and (aside := _set_aside(order, row)) is not None:
        return aside
    refusals = order.ledger.attempts if order.ledger and order.ledger.state == "waiting" else 0
    is_due = f"is due, after ShipStation refused it {times(refusals)}" if refusals else "is due"
    hindered = [obstacle.what for obstacle in obstacles(order)]
    if hindered:
        return Standing("due", f"{is_due}: {'; '.join(hindered)}", with_obstacles(order, "then it is sent"))
    following = "it has no items yet: the listener waits for them for 2 s, then it fails"
    if row.items:
        following = f"{_reading(order)}it is sent, at the latest with the next heartbeat ({_heartbeat(order)})"
    return Standing("due", f"{is_due}: the listener sends it as soon as it looks", following)


def _heartbeat(order: Dossier) -> str:
    return f"every {order.surroundings.flags.fast_polling_interval} s"


def _reading(order: Dossier) -> str:
    """Say that ShipStation is asked first what it has, when that was not done for a while (`workflows.keep_mirror`)."""
    read_at = order.surroundings.mirror_at
    good_for = min(order.surroundings.flags.sync_interval + 30, 600)
    if read_at is not None and (order.now - read_at).total_seconds() < good_for:
        return ""
    last = f"last done at {instant(read_at)}" if read_at else "not done to the end yet"
    return f"ShipStation is asked first whether it has it ({last}); then "


def with_obstacles(order: Dossier, following: str) -> str:
    """Return what follows, after what has to end before."""
    return "; ".join([*(obstacle.end for obstacle in obstacles(order)), following])


def obstacles(order: Dossier) -> Iterator[Obstacle]:
    """Yield what keeps it from being sent now, as far as the database knows."""
    around, row = order.surroundings, order.row
    for locker in order.lockers:
        if row is not None and locker.row_id == row.id:
            who = f"pid {locker.pid}" if locker.pid else "a prepared transaction"
            since = f"since {instant(locker.since)}" if locker.since else ""
            about = ", ".join(filter(None, [locker.application, since]))
            what = f"its row is locked by {who}{f' ({about})' if about else ''}"
            yield Obstacle(what, f"{who} has to end its transaction")
    if around.leader is None:
        yield Obstacle("no listener leads at the moment", "`listener run` has to be started")
    if around.paused_by is not None:
        what = f"the upload is paused by {around.paused_by}"
        yield Obstacle(what, "`listener resume shipstation-upload` switches it on")
    if around.call_in > 0:
        left = f"0 of {around.flags.api_calls_per_hour} calls left, next in {span(around.call_in)}"
        yield Obstacle(f"it waits for the API budget ({left})", "the next call to ShipStation has to be free")
    if not around.flags.fast_polling_enabled:
        what = f"the upload runs every {FORMER_PACE_SECONDS} s only (fast_polling_enabled is false)"
        yield Obstacle(what, "the next run has to come")


def _set_aside(order: Dossier, row: InboxRow) -> Standing | None:
    """Return what the listener will do with a pending order instead of sending it; None: it will send it."""
    flags = order.surroundings.flags
    if len(order.order_key) > LONGEST_NUMBER:
        return Standing("due", f"cannot be sent: its number has over {LONGEST_NUMBER} characters", "it fails")
    if order.shipped:
        return Standing("due", "is in shipped_orders already: it is not sent", "its row will say shipped")
    if is_manual(order):
        return manual(order)
    if order.remote:
        there = order.remote[0].shipstation_order_id
        if not (alive := alive_there(order.remote)):
            return Standing("due", f"was cancelled at ShipStation as {there}: it is not sent", "it fails")
        sentence = f"is at ShipStation already as {alive[0].shipstation_order_id}, not made by us: it is not sent"
        return Standing("due", sentence, "its row gets that id")
    if row.age_days > flags.max_order_age_days:
        reason = f"{row.age_days} days old, max_order_age_days is {flags.max_order_age_days}"
        sentence = f"is held back when the listener looks: {reason}"
        return Standing("held_back", sentence, f"then {requeue_command(order.number)} sends it")
    return None


def is_manual(order: Dossier) -> bool:
    """Return whether the number is one that is never uploaded."""
    return manual_pattern.is_manual(order.number, order.surroundings.flags.manual_order_pattern)


def manual(order: Dossier) -> Standing:
    """Return how a manual order stands."""
    pattern = order.surroundings.flags.manual_order_pattern
    why = f"number matches manual_order_pattern {pattern}" if is_manual(order) else "set aside when it was looked at"
    return Standing("manual", f"is a manual order ({why})", "nothing: manual orders are never uploaded")


def failed(order: Dossier, reason: str) -> Standing:
    """Return how an order stands that gave up, and what helps."""
    sentence = f"failed: {reason}; {remedy(order.number, reason)}"
    return Standing("failed", sentence, "nothing until somebody does that")


def remedy(number: str, reason: str) -> str:
    """Return what helps an order that failed for this reason."""
    if reason.startswith("same number as row "):
        return "give its row a number of its own, or delete it"
    if cancelled_there(reason):
        return f"{requeue_command(number, again=True)} makes a new order there"
    return f"{requeue_command(number)} tries again"


def remedy_of(state: str, number: str, reason: str) -> str:
    """Return what helps an order that failed or is held back, as `store.requeues` calls it."""
    number = number.strip(" ")
    return f"{requeue_command(number)} sends it" if state == "held back" else remedy(number, reason)


def _not_in_the_inbox(order: Dossier) -> Standing:
    """Return how an order stands that has neither a row nor a place in the ledger."""
    if order.shipped:
        shipped = order.shipped[0]
        there = f" as {shipped.shipstation_order_id}" if shipped.shipstation_order_id else ""
        sentence = f"was shipped on {shipped.ship_date}{there} (shipped_orders); its row was cleaned up"
        return Standing("shipped", sentence, "nothing; a new row with this number would not be sent")
    if order.remote:
        there = ", ".join(f"{remote.shipstation_order_id} ({remote.status})" for remote in order.remote)
        sentence = f"is not in orders_inbox: it was made at ShipStation, not by us, as {there}"
        return Standing("only_there", sentence, "nothing; a row with this number would take over that order")
    if order.quarantined:
        line = order.quarantined[-1]
        where = f"{line.file}, line {line.line}" if line.line is not None else line.file
        sentence = f"stands in {where}, and was not imported: {line.reason}"
        return Standing("quarantined", sentence, "mend it in the file; a file that changed is read again")
    if order.imported:
        sentence = (
            f"was imported from {order.imported.file or 'a file'} on {instant(order.imported.at)}; its row is gone"
        )
        return Standing("imported", sentence, "nothing: a file does not bring it a second time")
    return Standing("forgotten", "has left the ledger and the inbox; its timeline is all that is known", "nothing")
