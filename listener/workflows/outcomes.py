"""From ShipStation's answer to what the ledger says: one pure function over status, headers and body.

Results are matched by key, never by position. An answer that cannot be read means `unknown`, never `refused`: what
arrived there is looked up before it is sent again.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from listener.errors import Transient
from listener.shipstation.client import Answer, NoAnswer, key_refused
from listener.shipstation.payload import Outcome, Throttled, decode_results
from listener.store.ledger import Candidate, Settled

ABOUT_THE_ORDERS = (400, 409, 413, 422)
"""Refusals of what was sent. Any other 4xx (a wrong path, an unpaid account) is no order's fault and no attempt."""

LOCKED_WORDS = re.compile(r"\b(shipped|cancell?ed)\b", re.IGNORECASE)
"""Only open orders may be updated (ShipStation API V1, "Create/Update Order"); how a refusal says so is not written."""

LONGEST_WORDS = 300

TAG = re.compile("<(/?[a-z]*)[^<>]*>", re.IGNORECASE)
"""Not across another one: a page of nothing but `<` would be searched to its end from each of them."""

NOT_SHOWN = ("style", "script", "title")


@dataclass(frozen=True, slots=True)
class Reading:
    """What an answer means: an outcome per order; for the workflow an error, or a closed window."""

    settled: list[Settled]
    error: Transient | None = None
    throttled: bool = False


def read_answer(answer: Answer, batch: Sequence[Candidate], *, others_are_taken: bool = False) -> Reading:
    """Return what this answer to `createorders` means for each order of the batch.

    others_are_taken: ShipStation has taken other orders lately, so that a fault of one alone is that order's
    """
    if answer.status == 429:
        return Reading(all_waiting(batch), throttled=True)
    if answer.status in (401, 403):
        return Reading(all_waiting(batch), Transient(key_refused(answer.status)))
    if 200 <= answer.status < 300:
        return _read_results(answer, batch)
    if answer.status in ABOUT_THE_ORDERS or b"too many requests" in answer.body[:500].lower():
        return _read_refusal(answer, batch)
    if 400 <= answer.status < 500:
        fault = f"ShipStation answered {answer.status} to every order: is SHIPSTATION_BASE_URL right?"
        return Reading(all_waiting(batch, fault), Transient(fault))
    return _read_breakdown(answer, batch, others_are_taken=others_are_taken)


def all_waiting(batch: Sequence[Candidate], reason: str | None = None) -> list[Settled]:
    """Nothing was done there: every order is due again at once, and no attempt counts."""
    return [Settled(c.order_key, "waiting", error=reason, wait_seconds=0.0) for c in batch]


def all_unknown(batch: Sequence[Candidate], reason: str) -> list[Settled]:
    """Nobody knows what was done there: every order is to be looked up."""
    return [_unknown(c, reason) for c in batch]


def _read_results(answer: Answer, batch: Sequence[Candidate]) -> Reading:
    try:
        outcomes = decode_results(answer.body, [c.shipstation_key for c in batch])
    except Throttled:
        return Reading(all_waiting(batch), throttled=True)
    except Transient as error:  # nobody knows what was done: as if no answer had come
        return Reading(all_unknown(batch, str(error)), NoAnswer(str(error)))
    return Reading([_settle(c, outcomes[c.shipstation_key]) for c in batch])


def _settle(candidate: Candidate, outcome: Outcome) -> Settled:
    if outcome.kind == "accepted":
        return Settled(candidate.order_key, "accepted", outcome.shipstation_order_id, "uploaded")
    if outcome.kind == "refused":
        return _refused(candidate, outcome.message or "refused without a reason")
    return _unknown(candidate, outcome.message or "the answer did not mention this order")


def _refused(candidate: Candidate, words: str) -> Settled:
    if LOCKED_WORDS.search(words):
        return Settled(candidate.order_key, "unknown", error=words, wait_seconds=0.0, doubt="locked there")
    return Settled(candidate.order_key, "waiting", error=words, refused=True)


def _unknown(candidate: Candidate, reason: str, doubt: str = "no answer", batch_limit: int | None = None) -> Settled:
    return Settled(candidate.order_key, "unknown", error=reason, wait_seconds=0.0, doubt=doubt, batch_limit=batch_limit)


def _read_refusal(answer: Answer, batch: Sequence[Candidate]) -> Reading:
    """A refusal of the whole request: of one order it is that order's; of several, smaller batches find the bad one."""
    if b"too many requests" in answer.body[:500].lower():
        return Reading(all_waiting(batch), throttled=True)
    words = f"{answer.status}: {words_of(answer.body)}"
    if len(batch) == 1:
        return Reading([_refused(batch[0], words)])
    half = (len(batch) + 1) // 2
    return Reading([s._replace(error=words, batch_limit=half) for s in all_waiting(batch)])


def _read_breakdown(answer: Answer, batch: Sequence[Candidate], *, others_are_taken: bool) -> Reading:
    """A 5xx: what was done nobody knows. The first time for a batch it is the service's fault, and the batch is marked;
    when the same batch breaks it again, one of its orders may be what breaks it, and halves go. One alone, while others
    are taken, is that order's fault.
    """
    words = f"ShipStation answered {answer.status}: {words_of(answer.body)}"
    broke_before = all(c.batch_limit is not None for c in batch)
    if len(batch) == 1 and broke_before and others_are_taken:
        return Reading([_unknown(batch[0], words, "failed alone")])
    limit = (len(batch) + 1) // 2 if broke_before else len(batch)
    return Reading([_unknown(c, words, batch_limit=limit) for c in batch], Transient(words))


def words_of(body: bytes) -> str:
    """Return what an answer says to a person: the messages of its JSON, or its text without tags.

    Source: the bodies of ASP.NET Web API (Message, ExceptionMessage, ModelState), which ShipStation's API V1 shows.
    """
    text = body[:20_000].decode("utf-8", "replace")
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        said = _without_tags(text)
    return " ".join(" ".join(_messages(said)).split())[:LONGEST_WORDS] or "no reason given"


def _without_tags(text: str) -> str:
    shown, begin, within = [], 0, ""
    for tag in TAG.finditer(text):
        if not within:
            shown.append(text[begin : tag.start()])
        name, begin = tag[1].lower(), tag.end()
        if within:
            within = "" if name == f"/{within}" else within
        elif name in NOT_SHOWN:
            within = name
    return " ".join([*shown, "" if within else text[begin:]])


def _messages(said: object) -> list[str]:
    if isinstance(said, str):
        return [said]
    if not isinstance(said, dict):
        return []
    state = said.get("ModelState")
    lists = [part for part in state.values() if isinstance(part, list)] if isinstance(state, dict) else []
    named = [said.get(name) for name in ("Message", "message", "ExceptionMessage")]
    return [part for part in [*named, *(word for words in lists for word in words)] if isinstance(part, str)]
