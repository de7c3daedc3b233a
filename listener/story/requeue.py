"""Another try for an order: whether somebody who asks for one gets it, and what has to be written for it. Pure.

A try is refused when it could make a second order, or could not lead anywhere. `again` is the one way to a new order at
ShipStation, and only where every order that it has under the number is cancelled.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

from listener.story.dossier import Dossier, InboxRow, Ledger, Remote

CANCELLED_THERE = "cancelled at ShipStation as "
"""How the reason of an order begins whose only orders at ShipStation are cancelled (`workflows.adopt`)."""


class Step(Enum):
    """What is written."""

    REFUSE = auto()  # nothing: it cannot be tried again, for the reason given
    LEAVE = auto()  # nothing: it is under way
    ADMIT = auto()  # the ledger, for the first time: it is due, whatever its age
    REOPEN = auto()  # the same, and the row is pending again
    LOOK_UP = auto()  # the ledger: it is looked up now
    HURRY = auto()  # the ledger: its next try is now
    RETRY = auto()  # the ledger: it starts over; a failed row is pending again
    MAKE_ANEW = auto()  # the same under a new key, and the row forgets the cancelled order's id


@dataclass(frozen=True, slots=True)
class Plan:
    """What becomes of one request. The sentence goes on after the order's name."""

    step: Step
    sentence: str


def alive_there(remote: Sequence[Remote]) -> list[Remote]:
    """Return the orders at ShipStation that are not cancelled."""
    return [order for order in remote if order.status != "cancelled"]


def cancelled_there(reason: str | None) -> bool:
    """Whether an order failed because ShipStation has it, cancelled."""
    return bool(reason and reason.startswith(CANCELLED_THERE))


def is_under_way(order: Dossier, ledger: Ledger) -> bool:
    """Whether whoever is sending it leads still; a former leader's request is in doubt."""
    leader = order.surroundings.leader
    return leader is not None and leader.epoch == ledger.epoch


def plan(order: Dossier, *, again: bool) -> Plan:
    """Return what is to be written so that the order is tried again, or why it is not."""
    ledger, row = order.ledger, order.row
    if ledger is None:
        return _without_ledger(order)
    if ledger.state == "sending" and is_under_way(order, ledger):
        return Plan(Step.LEAVE, "is being sent at this moment: nothing to do")
    if ledger.state == "sending":
        return Plan(Step.LEAVE, "is in doubt, its sender is gone: whoever leads next looks it up; nothing to do")
    if ledger.state == "unknown":
        return Plan(Step.LOOK_UP, "is in doubt: it is looked up at ShipStation now, and sent again if it is not there")
    if ledger.state == "excluded":
        return _refused("is a manual order (its number matched the flag manual_order_pattern): it is never sent")
    if ledger.state in ("accepted", "adopted"):
        return _there(order, ledger, again=again)
    if row is None:
        return _refused("has no row in orders_inbox any more: insert it again to have it sent")
    if ledger.state == "rejected" and cancelled_there(ledger.error or row.failure_reason):
        return _cancelled(order, row, again=again)
    return _retry(ledger, row)


def _retry(ledger: Ledger, row: InboxRow) -> Plan:
    if not row.is_pending and (row.status != "failed" or row.shipstation_order_id):
        return _refused(f"is not sent: {_says(row)}; only a failed or waiting order can be requeued")
    if ledger.state == "waiting" and row.is_pending:
        return Plan(Step.HURRY, "is tried again at once")
    if ledger.state == "held_back":
        return Plan(Step.RETRY, "is held back no more: it is sent at once, whatever its age")
    return Plan(Step.RETRY, "is tried again at once, its refusals forgotten")


def _there(order: Dossier, ledger: Ledger, *, again: bool) -> Plan:
    id_there = ledger.shipstation_order_id
    known = any(remote.shipstation_order_id == id_there for remote in order.remote)
    there = f"is at ShipStation as {id_there}" if id_there else "is in shipped_orders"
    if not known or alive_there(order.remote) or order.shipped:
        if not again:
            return _refused(f"{there}: nothing to do")
        return _refused(f"{there}, and not known to be cancelled there: a second order is not made")
    if order.row is None:
        return _refused(f"{there}, cancelled, and has no row in orders_inbox any more: insert it again to have it sent")
    return _cancelled(order, order.row, again=again)


def _cancelled(order: Dossier, row: InboxRow, *, again: bool) -> Plan:
    if again and not alive_there(order.remote):
        return Plan(Step.MAKE_ANEW, "was cancelled at ShipStation: it is sent as a new order at once")
    if again:
        living = ", ".join(remote.shipstation_order_id for remote in alive_there(order.remote))
        return _refused(f"is at ShipStation as {living}, and not cancelled there: a second order is not made")
    return _refused("was cancelled at ShipStation: `requeue --again` makes a new order there")


def _without_ledger(order: Dossier) -> Plan:
    row = order.row
    if row is None:
        return _refused(_absent(order))
    if row.is_pending:
        return Plan(Step.ADMIT, "is due, whatever its age: the listener is rung")
    if row.status == "failed" and not row.shipstation_order_id:
        return Plan(Step.REOPEN, "is awaiting_shipment again, and the listener is rung")
    return _refused(f"is not sent: {_says(row)}; only a failed or waiting order can be requeued")


def _absent(order: Dossier) -> str:
    if order.shipped:
        return "has no row in orders_inbox: it was shipped (shipped_orders has it)"
    if order.remote:
        there = ", ".join(remote.shipstation_order_id for remote in order.remote)
        return f"has no row in orders_inbox: ShipStation has it as {there}, not made by us"
    return "is unknown: no row of orders_inbox has this number; look at how it is written"


def _says(row: InboxRow) -> str:
    if row.shipstation_order_id:
        return f"its row says {row.status} and has ShipStation's id {row.shipstation_order_id}"
    return f"its row says {row.status}"


def _refused(sentence: str) -> Plan:
    return Plan(Step.REFUSE, sentence)
