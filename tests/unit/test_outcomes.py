"""What ShipStation's answer to a batch means for each order, over statuses and bodies."""

import json
from typing import Any

import pytest

from listener.shipstation.client import Answer
from listener.store.ledger import Candidate, Settled
from listener.workflows.outcomes import Reading, all_unknown, all_waiting, read_answer

BATCH = [Candidate(key, n, key.lower(), f"listener-{key}") for n, key in enumerate(("A-1", "A-2", "A-3"), start=1)]
ONE = BATCH[:1]
HTML = b"<html><body><h1>Down for maintenance</h1></body></html>"


def accepted(candidate: Candidate, order_id: Any = 900) -> dict[str, Any]:
    return {
        "orderId": order_id,
        "orderNumber": candidate.order_number,
        "orderKey": candidate.shipstation_key,
        "success": True,
        "errorMessage": None,
    }


def refused(candidate: Candidate, message: str | None) -> dict[str, Any]:
    return {**accepted(candidate, None), "success": False, "errorMessage": message}


def read(status: int, body: object, batch: list[Candidate] = BATCH) -> Reading:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_answer(Answer(status, {}, content, 1.0), batch)


def states(reading: Reading) -> dict[str, str]:
    return {settled.order_key: settled.state for settled in reading.settled}


def all_are(reading: Reading, state: str) -> bool:
    return states(reading) == {candidate.order_key: state for candidate in BATCH}


@pytest.mark.parametrize("status", [200, 201, 202])
def test_each_accepted_order_gets_its_id_and_a_row_that_says_uploaded(status: int) -> None:
    reading = read(status, {"hasErrors": False, "results": [accepted(c, 900 + c.order_inbox_id) for c in BATCH]})
    assert reading == Reading(
        [Settled(c.order_key, "accepted", str(900 + c.order_inbox_id), "uploaded") for c in BATCH]
    )


def test_results_are_matched_by_key_and_never_by_position() -> None:
    rows = [accepted(BATCH[2], 903), refused(BATCH[0], "no such country"), accepted(BATCH[1], 902)]
    reading = read(200, {"results": rows})
    assert {s.order_key: s.shipstation_order_id for s in reading.settled} == {"A-1": None, "A-2": "902", "A-3": "903"}
    assert states(reading)["A-1"] == "waiting"


def test_a_refused_order_waits_as_a_counted_attempt_with_their_words_and_costs_no_neighbour() -> None:
    reading = read(202, {"hasErrors": True, "results": [accepted(BATCH[0]), refused(BATCH[1], " no such country ")]})
    assert reading.settled[1] == Settled("A-2", "waiting", error="no such country", refused=True)
    assert reading.settled[0].state == "accepted"
    assert (reading.error, reading.throttled, reading.halve) == (None, False, False)


def test_a_refusal_without_words_still_says_something() -> None:
    settled = read(200, {"results": [refused(ONE[0], None)]}, ONE).settled[0]
    assert settled.refused
    assert settled.error


def test_an_order_that_the_answer_does_not_mention_is_unknown_and_no_attempt() -> None:
    reading = read(200, {"results": [accepted(BATCH[0]), accepted(BATCH[2])]})
    assert states(reading) == {"A-1": "accepted", "A-2": "unknown", "A-3": "accepted"}
    missing = reading.settled[1]
    assert (missing.refused, missing.wait_seconds) == (False, 0.0)
    assert "not mention" in str(missing.error)


def test_a_result_for_a_stranger_changes_nothing() -> None:
    stranger = Candidate("Z-9", 99, "Z-9", "listener-Z-9")
    assert states(read(200, {"results": [accepted(stranger), accepted(ONE[0])]}, ONE)) == {"A-1": "accepted"}


@pytest.mark.parametrize("success", [None, "true", 1])
def test_a_result_that_does_not_say_plainly_whether_it_worked_is_unknown(success: object) -> None:
    assert states(read(200, {"results": [accepted(ONE[0]) | {"success": success}]}, ONE)) == {"A-1": "unknown"}


@pytest.mark.parametrize("order_id", [None, 0, "", True, 9.5])
def test_success_without_an_id_is_unknown(order_id: object) -> None:
    assert states(read(200, {"results": [accepted(ONE[0], order_id)]}, ONE)) == {"A-1": "unknown"}


def test_results_that_contradict_each_other_are_unknown() -> None:
    reading = read(200, {"results": [accepted(ONE[0]), refused(ONE[0], "no")]}, ONE)
    assert states(reading) == {"A-1": "unknown"}


def test_results_that_contradict_each_other_are_called_that() -> None:
    reading = read(200, {"results": [accepted(ONE[0]), refused(ONE[0], "no")]}, ONE)
    assert "contradicts" in str(reading.settled[0].error)


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b"{}", b"{", b"\xff\xfe\x00", HTML, b'{"results": 5}', b"[" * 9000]
)
def test_an_answer_that_cannot_be_read_leaves_every_order_unknown_and_is_an_error(body: bytes) -> None:
    reading = read(200, body)
    assert all_are(reading, "unknown")
    assert not any(settled.refused for settled in reading.settled)
    assert reading.error is not None
    assert not reading.halve


@pytest.mark.parametrize("body", [b"Too Many Requests", {"message": "Too many requests"}, HTML, b""])
def test_429_makes_all_wait_closes_the_window_and_is_no_attempt(body: object) -> None:
    assert read(429, body) == Reading(all_waiting(BATCH), throttled=True)


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize(
    "body", [{"message": "Too many requests."}, {"Message": "TOO MANY REQUESTS"}, b"Too Many Requests\n"]
)
def test_throttling_that_stands_in_the_body_alone_is_throttling_too(status: int, body: object) -> None:
    for batch in (BATCH, ONE):
        assert read(status, body, batch) == Reading(all_waiting(batch), throttled=True)


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_an_error_that_names_the_settings_and_no_attempt(status: int) -> None:
    reading = read(status, {"message": "Unauthorized"}, ONE)
    assert reading.settled == all_waiting(ONE)
    assert str(status) in str(reading.error)
    assert "SHIPSTATION_API_KEY" in str(reading.error)
    assert not reading.halve


@pytest.mark.parametrize("status", [402, 404, 405, 410])
def test_a_refusal_that_is_no_orders_fault_is_an_error_and_no_attempt(status: int) -> None:
    for batch in (BATCH, ONE):
        reading = read(status, b"not here", batch)
        assert [settled.state for settled in reading.settled] == ["waiting"] * len(batch)
        assert not any(settled.refused for settled in reading.settled)
        assert "SHIPSTATION_BASE_URL" in str(reading.error)
        assert not reading.halve


def test_a_refused_batch_is_halved_and_counts_for_nobody() -> None:
    assert read(400, {"Message": "The request is invalid."}) == Reading(all_waiting(BATCH), halve=True)


def test_a_refused_request_of_one_order_is_that_orders_refusal_with_status_and_words() -> None:
    reading = read(400, b"  orderDate is no date\n", ONE)
    assert reading == Reading([Settled("A-1", "waiting", error="400: orderDate is no date", refused=True)])
    assert read(422, b"", ONE).settled[0].error == "422: no reason given"


def test_the_words_of_a_refusal_are_cut_and_never_fail_on_odd_bytes() -> None:
    assert len(str(read(400, b"x" * 100_000, ONE).settled[0].error)) < 600
    assert read(400, b"\xff\xfe no", ONE).settled[0].refused


@pytest.mark.parametrize("status", [500, 502, 503, 504, 302, 307])
def test_what_may_have_been_carried_out_is_unknown_whatever_the_body_says(status: int) -> None:
    reading = read(status, HTML)
    assert all_are(reading, "unknown")
    assert not any(settled.refused for settled in reading.settled)
    assert str(status) in str(reading.error)
    assert states(read(status, {"results": [refused(ONE[0], "no")]}, ONE)) == {"A-1": "unknown"}


def test_waiting_and_unknown_orders_are_due_at_once() -> None:
    assert {settled.wait_seconds for settled in (*all_waiting(BATCH), *all_unknown(BATCH, "cut"))} == {0.0}
