"""What ShipStation's answer to a batch means for each order, over statuses and bodies."""

import json
import time
from typing import Any

import pytest

from listener.shipstation.client import Answer
from listener.store.ledger import Candidate, Settled
from listener.workflows.outcomes import Reading, all_unknown, all_waiting, read_answer, words_of

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


def read(status: int, body: object, batch: list[Candidate] = BATCH, *, others_are_taken: bool = False) -> Reading:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_answer(Answer(status, {}, content, 1.0), batch, others_are_taken=others_are_taken)


def limits(reading: Reading) -> set[int | None]:
    return {settled.batch_limit for settled in reading.settled}


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
    assert (reading.error, reading.throttled, limits(reading)) == (None, False, {None})


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
    assert limits(reading) == {None}


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
    assert limits(reading) == {None}


@pytest.mark.parametrize("status", [402, 404, 405, 410])
def test_a_refusal_that_is_no_orders_fault_is_an_error_and_no_attempt(status: int) -> None:
    for batch in (BATCH, ONE):
        reading = read(status, b"not here", batch)
        assert [settled.state for settled in reading.settled] == ["waiting"] * len(batch)
        assert not any(settled.refused for settled in reading.settled)
        assert "SHIPSTATION_BASE_URL" in str(reading.error)
        assert limits(reading) == {None}


@pytest.mark.parametrize(("orders", "half"), [(8, 4), (3, 2), (2, 1)])
def test_a_refused_batch_goes_in_halves_and_counts_for_nobody(orders: int, half: int) -> None:
    batch = [Candidate(f"B-{n}", n, f"B-{n}", f"listener-B-{n}") for n in range(orders)]
    reading = read(400, {"Message": "The request is invalid."}, batch)
    words = "400: The request is invalid."
    due = [Settled(c.order_key, "waiting", error=words, wait_seconds=0.0, batch_limit=half) for c in batch]
    assert reading == Reading(due)


@pytest.mark.parametrize("status", [400, 409, 413, 422])
def test_whatever_refuses_what_was_sent_is_about_the_orders(status: int) -> None:
    assert limits(read(status, b"no")) == {2}
    assert read(status, b"no", ONE).settled[0].refused


@pytest.mark.parametrize(
    "words",
    ["Order has been shipped", "cannot update a CANCELLED order", "400: The order is canceled.", "Already Shipped!"],
)
def test_a_refusal_as_shipped_or_cancelled_there_is_looked_up_and_is_no_attempt_yet(words: str) -> None:
    in_doubt = Settled("A-1", "unknown", error=words, wait_seconds=0.0, doubt="locked there")
    reading = read(200, {"results": [refused(BATCH[0], words), accepted(BATCH[1]), accepted(BATCH[2])]})
    assert reading.settled[0] == in_doubt
    assert (states(reading)["A-2"], reading.error) == ("accepted", None)


@pytest.mark.parametrize("words", ["it has unshipped items", "its cancellation is pending", "no shipping address"])
def test_only_the_words_shipped_and_cancelled_themselves_mean_locked(words: str) -> None:
    settled = read(200, {"results": [refused(ONE[0], words)]}, ONE).settled[0]
    assert (settled.state, settled.refused, settled.doubt) == ("waiting", True, None)


def test_a_whole_request_of_one_that_is_refused_as_shipped_is_looked_up_too() -> None:
    settled = read(400, {"Message": "This order was already shipped."}, ONE).settled[0]
    assert (settled.state, settled.doubt, settled.refused) == ("unknown", "locked there", False)


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


def suspect(candidates: list[Candidate], limit: int) -> list[Candidate]:
    return [candidate._replace(batch_limit=limit) for candidate in candidates]


def test_the_first_breakdown_marks_the_batch_and_leaves_it_as_large_as_it_was() -> None:
    reading = read(503, HTML)
    assert limits(reading) == {3}
    assert {settled.doubt for settled in reading.settled} == {"no answer"}
    assert limits(read(503, HTML, ONE)) == {1}


def test_the_second_breakdown_of_the_same_batch_halves_it() -> None:
    reading = read(500, HTML, suspect(BATCH, 3))
    assert (limits(reading), all_are(reading, "unknown")) == ({2}, True)
    assert reading.error is not None
    assert limits(read(500, HTML, suspect(BATCH[:2], 2))) == {1}


def test_a_breakdown_of_a_batch_that_holds_one_new_order_is_no_second_one() -> None:
    assert limits(read(500, HTML, [*suspect(BATCH[:2], 3), BATCH[2]])) == {3}


def test_one_that_breaks_it_alone_is_at_fault_only_while_others_are_taken() -> None:
    alone = suspect(ONE, 1)
    at_fault = read(500, {"Message": "An error has occurred."}, alone, others_are_taken=True)
    assert at_fault.error is None, "the service is well: nobody else waits"
    (settled,) = at_fault.settled
    assert (settled.state, settled.doubt, settled.refused) == ("unknown", "failed alone", False)
    assert settled.error == "ShipStation answered 500: An error has occurred."
    outage = read(500, HTML, alone, others_are_taken=False)
    assert outage.error is not None
    assert outage.settled[0].doubt == "no answer"


def test_the_first_time_even_one_alone_is_the_services_fault() -> None:
    reading = read(500, HTML, ONE, others_are_taken=True)
    assert reading.error is not None
    assert reading.settled[0].doubt == "no answer"


# Their words.


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"Message": "The request is invalid."}', "The request is invalid."),
        (b'{"message": "no", "ExceptionMessage": "bad date", "StackTrace": "at A.B()"}', "no bad date"),
        (
            b'{"Message": "The request is invalid.", "ModelState": {"apiOrders[0].orderDate": ["no date", "at all"]}}',
            "The request is invalid. no date at all",
        ),
        (b'"just a text"', "just a text"),
        (b"plain  text\n with   blanks ", "plain text with blanks"),
        (b"<html><head><title>Oops</title><style>p {}</style></head><p>Bad <b>date</b></p></html>", "Bad date"),
        (b"", "no reason given"),
        (b"[]", "no reason given"),
        (b'{"Message": 5, "ModelState": ["x"]}', "no reason given"),
        (b"[" * 9000, "[" * 300),
        (b"<script>x</SCRIPT >a<style", "a<style"),
        (b"a < b", "a < b"),
    ],
)
def test_a_person_reads_their_messages_and_no_markup(body: bytes, words: str) -> None:
    assert words_of(body) == words


@pytest.mark.parametrize(
    "body", [b"<script " * 2500, b"<" * 20_000, b"<style>" * 2800, b"<a " * 6000, b"<title>" + b"<" * 20_000]
)
def test_a_page_that_is_made_to_be_searched_for_long_is_read_at_once(body: bytes) -> None:
    started = time.thread_time()
    words_of(body)
    assert time.thread_time() - started < 0.1  # some milliseconds; going through it from each tag took half a second


def test_waiting_and_unknown_orders_are_due_at_once() -> None:
    assert {settled.wait_seconds for settled in (*all_waiting(BATCH), *all_unknown(BATCH, "cut"))} == {0.0}
