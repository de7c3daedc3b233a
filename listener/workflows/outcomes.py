"""From ShipStation's answer to what the ledger says: one pure function over status, headers and body.

Results are matched by key, never by position. An answer that cannot be read means `unknown`, never `refused`: what
arrived there is looked up before it is sent again.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from listener.errors import Transient
from listener.shipstation.client import Answer
from listener.shipstation.payload import Outcome, Throttled, decode_results
from listener.store.ledger import Candidate, Settled

ABOUT_THE_ORDERS = (400, 409, 413, 422)
"""Refusals of what was sent. Any other 4xx (a wrong path, an unpaid account) is no order's fault and no attempt."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What an answer means: an outcome per order; for the workflow an error, a closed window, or a smaller batch."""

    settled: list[Settled]
    error: Transient | None = None
    throttled: bool = False
    halve: bool = False


def read_answer(answer: Answer, batch: Sequence[Candidate]) -> Reading:
    """Return what this answer to `createorders` means for each order of the batch."""
    if answer.status == 429:
        return Reading(all_waiting(batch), throttled=True)
    if answer.status in (401, 403):
        fault = f"ShipStation refuses our key ({answer.status}): check SHIPSTATION_API_KEY and SHIPSTATION_API_SECRET"
        return Reading(all_waiting(batch), Transient(fault))
    if 200 <= answer.status < 300:
        return _read_results(answer, batch)
    if answer.status in ABOUT_THE_ORDERS or b"too many requests" in answer.body[:500].lower():
        return _read_refusal(answer, batch)
    if 400 <= answer.status < 500:
        fault = f"ShipStation answered {answer.status} to every order: is SHIPSTATION_BASE_URL right?"
        return Reading(all_waiting(batch, fault), Transient(fault))
    fault = f"ShipStation answered {answer.status}"
    return Reading(all_unknown(batch, fault), Transient(fault))


def all_waiting(batch: Sequence[Candidate], reason: str | None = None) -> list[Settled]:
    """Nothing was done there: every order is due again at once, and no attempt counts."""
    return [Settled(c.order_key, "waiting", error=reason, wait_seconds=0.0) for c in batch]


def all_unknown(batch: Sequence[Candidate], reason: str) -> list[Settled]:
    """Nobody knows what was done there: every order is to be looked up."""
    return [Settled(c.order_key, "unknown", error=reason, wait_seconds=0.0) for c in batch]


def _read_results(answer: Answer, batch: Sequence[Candidate]) -> Reading:
    try:
        outcomes = decode_results(answer.body, [c.shipstation_key for c in batch])
    except Throttled:
        return Reading(all_waiting(batch), throttled=True)
    except Transient as error:
        return Reading(all_unknown(batch, str(error)), error)
    return Reading([_settle(c, outcomes[c.shipstation_key]) for c in batch])


def _settle(candidate: Candidate, outcome: Outcome) -> Settled:
    if outcome.kind == "accepted":
        return Settled(candidate.order_key, "accepted", outcome.shipstation_order_id, "uploaded")
    if outcome.kind == "refused":
        return Settled(
            candidate.order_key, "waiting", error=outcome.message or "refused without a reason", refused=True
        )
    reason = outcome.message or "the answer did not mention this order"
    return Settled(candidate.order_key, "unknown", error=reason, wait_seconds=0.0)


def _read_refusal(answer: Answer, batch: Sequence[Candidate]) -> Reading:
    """A refusal of the whole request: of one order it is that order's; of several, smaller batches find the bad one."""
    words = answer.body[:500].decode("utf-8", "replace").strip() or "no reason given"
    if b"too many requests" in answer.body[:500].lower():
        return Reading(all_waiting(batch), throttled=True)
    if len(batch) > 1:
        return Reading(all_waiting(batch), halve=True)
    return Reading([Settled(batch[0].order_key, "waiting", error=f"{answer.status}: {words}", refused=True)])
