"""Who gets another try, and who does not: decided from values, a line a case."""

from dataclasses import replace

import pytest

from listener.store.mirror import There
from listener.story.dossier import Dossier, Shipped
from listener.story.requeue import Step, plan
from listener.workflows.adopt import adopt
from tests.support.dossiers import EARLIER, THERE, around, ledger, order, row

CANCELLED = replace(THERE, status="cancelled")
GONE = ledger("rejected", error="cancelled at ShipStation as 123456", row_written=True)
ACCEPTED = ledger("accepted", shipstation_order_id="123456", row_written=True)
UPLOADED = row(status="uploaded", shipstation_order_id="123456")
FAILED = row(status="failed", failure_reason="the zone is unknown")

PLANS = [
    (order(ledger=ledger("held_back")), Step.RETRY, "is held back no more"),
    (order(row=FAILED, ledger=ledger("rejected", error="the zone is unknown")), Step.RETRY, "is tried again at once"),
    (order(ledger=ledger("rejected", error="the zone is unknown")), Step.RETRY, "is tried again at once"),
    (order(ledger=ledger("waiting")), Step.HURRY, "is tried again at once"),
    (order(row=FAILED, ledger=ledger("waiting")), Step.RETRY, "is tried again at once"),
    (order(ledger=ledger("unknown")), Step.LOOK_UP, "is in doubt: it is looked up at ShipStation now"),
    (order(row=None, ledger=ledger("unknown")), Step.LOOK_UP, "is in doubt"),
    (order(ledger=ledger("sending")), Step.LEAVE, "is being sent at this moment"),
    (order(ledger=ledger("sending", epoch=6)), Step.LEAVE, "is in doubt, its sender is gone"),
    (order(ledger=ledger("sending"), surroundings=around(leader=None)), Step.LEAVE, "is in doubt, its sender is gone"),
    (order(), Step.ADMIT, "is due, whatever its age: the listener is rung"),
    (order(row=row(age_days=15)), Step.ADMIT, "is due, whatever its age"),
    (order(row=FAILED), Step.REOPEN, "is awaiting_shipment again"),
    (order(row=UPLOADED, ledger=ACCEPTED), Step.REFUSE, "is at ShipStation as 123456: nothing to do"),
    (order(row=UPLOADED, ledger=ACCEPTED, remote=(THERE,)), Step.REFUSE, "is at ShipStation as 123456: nothing to do"),
    (
        order(row=UPLOADED, ledger=ACCEPTED, remote=(CANCELLED,)),
        Step.REFUSE,
        "was cancelled at ShipStation: `requeue --again` makes a new order there",
    ),
    (order(row=FAILED, ledger=GONE), Step.REFUSE, "was cancelled at ShipStation: `requeue --again` makes"),
    (
        order(row=row(status="shipped"), ledger=ledger("adopted"), shipped=(Shipped("2026-02-01", ""),)),
        Step.REFUSE,
        "is in shipped_orders: nothing to do",
    ),
    (order(row=row(status="synced_manual"), ledger=ledger("excluded")), Step.REFUSE, "is a manual order (its number"),
    (order(row=None, ledger=ledger("rejected")), Step.REFUSE, "has no row in orders_inbox any more"),
    (order(row=row(status="on_hold")), Step.REFUSE, "is not sent: its row says on_hold"),
    (order(row=row(status="cancelled"), ledger=ledger("waiting")), Step.REFUSE, "is not sent: its row says cancelled"),
    (order(row=row(status="cancelled"), ledger=ledger("held_back")), Step.REFUSE, "is not sent: its row says cancel"),
    (
        order(row=replace(FAILED, shipstation_order_id="5"), ledger=ledger("rejected")),
        Step.REFUSE,
        "is not sent: its row says failed and has ShipStation's id 5",
    ),
    (
        order(row=replace(FAILED, shipstation_order_id="5")),
        Step.REFUSE,
        "is not sent: its row says failed and has Ship",
    ),
    (order(row=None), Step.REFUSE, "is unknown"),
    (order(row=None, shipped=(Shipped("2026-02-01", "7"),)), Step.REFUSE, "has no row in orders_inbox: it was shipped"),
    (order(row=None, remote=(THERE,)), Step.REFUSE, "has no row in orders_inbox: ShipStation has it as 123456"),
]

PLANS_AGAIN = [
    (order(row=FAILED, ledger=GONE), Step.MAKE_ANEW, "was cancelled at ShipStation: it is sent as a new order"),
    (order(row=FAILED, ledger=GONE, remote=(CANCELLED,)), Step.MAKE_ANEW, "was cancelled at ShipStation"),
    (order(row=UPLOADED, ledger=ACCEPTED, remote=(CANCELLED,)), Step.MAKE_ANEW, "was cancelled at ShipStation"),
    (order(row=UPLOADED, ledger=replace(ACCEPTED, state="adopted"), remote=(CANCELLED,)), Step.MAKE_ANEW, "was cancel"),
    (
        order(row=FAILED, ledger=GONE, remote=(CANCELLED, replace(THERE, shipstation_order_id="9"))),
        Step.REFUSE,
        "is at ShipStation as 9, and not cancelled there: a second order is not made",
    ),
    (
        order(row=UPLOADED, ledger=ACCEPTED, remote=(CANCELLED, replace(THERE, shipstation_order_id="9"))),
        Step.REFUSE,
        "is at ShipStation as 123456, and not known to be cancelled there",
    ),
    (order(row=UPLOADED, ledger=ACCEPTED), Step.REFUSE, "is at ShipStation as 123456, and not known to be cancelled"),
    (
        order(row=UPLOADED, ledger=ACCEPTED, remote=(replace(CANCELLED, shipstation_order_id="9"),)),
        Step.REFUSE,
        "is at ShipStation as 123456, and not known to be cancelled",
    ),
    (
        order(row=UPLOADED, ledger=ACCEPTED, remote=(CANCELLED,), shipped=(Shipped("2026-02-01", "123456"),)),
        Step.REFUSE,
        "is at ShipStation as 123456, and not known to be cancelled",
    ),
    (
        order(row=None, ledger=ACCEPTED, remote=(CANCELLED,)),
        Step.REFUSE,
        "is at ShipStation as 123456, cancelled, and has no row",
    ),
    (order(row=FAILED, ledger=ledger("rejected", error="the zone is unknown")), Step.RETRY, "is tried again at once"),
]


@pytest.mark.parametrize(("known", "step", "sentence"), PLANS, ids=lambda value: str(value)[:50])
def test_another_try_is_given_where_it_can_lead_somewhere(known: Dossier, step: Step, sentence: str) -> None:
    planned = plan(known, again=False)
    assert planned.sentence.startswith(sentence)
    assert planned.step is step


@pytest.mark.parametrize(("known", "step", "sentence"), PLANS_AGAIN, ids=lambda value: str(value)[:50])
def test_a_new_order_is_made_only_where_all_that_shipstation_has_is_cancelled(
    known: Dossier, step: Step, sentence: str
) -> None:
    planned = plan(known, again=True)
    assert planned.sentence.startswith(sentence)
    assert planned.step is step


def test_the_reason_that_is_given_for_cancelled_orders_is_the_one_that_is_recognised() -> None:
    there = There("1001", "123456", None, "cancelled", EARLIER, EARLIER)
    adoption = adopt([there], "listener-1001", 1)
    assert adoption is not None
    known = order(row=FAILED, ledger=ledger("rejected", error=adoption.error))
    assert plan(known, again=True).step is Step.MAKE_ANEW
