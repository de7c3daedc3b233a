"""The API budget as processes share it: one bucket in one row, and the journal of calls."""

import threading
from collections.abc import Iterator
from contextlib import suppress

import psycopg
import pytest

from listener.budget import Budget, NoBudget, SharedWindow
from listener.database import Connection
from listener.flags import Flags
from listener.metrics import Metrics
from listener.shipstation.client import Answer, NoAnswer, TooManyRequests
from listener.store.api_calls import (
    burst_of,
    calls_a_second,
    give_back_call,
    note_answer,
    take_calls,
    take_when_due,
)
from tests.support.shop import insert_order
from tests.support.wait import eventually

LIMIT = 200
REFILL_SECONDS = 20.0  # (200 - 20) an hour
SEND = "POST /orders/createorders"
LIST = "GET /orders"


@pytest.fixture
def db(dsn: str) -> Iterator[Connection]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield connection


def fill(db: Connection, tokens: float, *, seconds_ago: float = 0.0) -> None:
    """Set the bucket as it was some time ago; a negative time lies in the future."""
    db.execute(
        "update listener.budget set tokens = %s, refilled_at = clock_timestamp() - make_interval(secs => %s)",
        [tokens, seconds_ago],
    )


def tokens(db: Connection) -> float:
    row = db.execute("select tokens from listener.budget").fetchone()
    assert row is not None
    return float(row[0])


def take(db: Connection, limit: int = LIMIT) -> tuple[int | None, float]:
    """Take one call; return its id in the journal, or None, and how long to wait."""
    ids, wait = take_calls(db, limit, [SEND])
    return (ids[0] if ids else None), wait


def takes(db: Connection, tries: int, limit: int = LIMIT) -> int:
    """Return how many of so many tries got a call."""
    return sum(take(db, limit)[0] is not None for _ in range(tries))


def journal(db: Connection) -> list[tuple[object, ...]]:
    return db.execute("select endpoint, orders, status, error from listener.api_calls order by id").fetchall()


@pytest.mark.parametrize(("limit", "burst"), [(1, 2), (4, 2), (10, 5), (40, 20), (200, 20), (1_000_000, 20)])
def test_the_burst_is_half_of_the_limit_at_least_two_at_most_twenty(limit: int, burst: float) -> None:
    assert burst_of(limit) == burst


def test_a_fresh_budget_allows_one_burst_and_tells_when_the_next_call_may_be_made(db: Connection) -> None:
    assert takes(db, 20) == 20
    call_id, wait = take(db)
    assert call_id is None
    assert REFILL_SECONDS - 2 < wait <= REFILL_SECONDS


def test_the_wait_counts_what_has_gathered_already(db: Connection) -> None:
    fill(db, 0.0, seconds_ago=15)
    call_id, wait = take(db)
    assert call_id is None
    assert 3 < wait <= 5


def test_it_refills_with_the_rest_of_the_limit_over_an_hour(db: Connection) -> None:
    fill(db, 0.0, seconds_ago=REFILL_SECONDS * 3 + 1)
    assert takes(db, 10) == 3


def test_it_never_holds_more_than_a_burst(db: Connection) -> None:
    fill(db, 20.0, seconds_ago=7 * 86400)
    assert takes(db, 30) == 20


def test_a_burst_and_an_hours_refill_are_the_limit(db: Connection) -> None:
    for limit in (2, 7, 60, LIMIT):
        burst = burst_of(limit)
        fill(db, 0.0)
        refill = 3600 / take(db, limit)[1]
        assert burst + refill <= max(limit, burst + 0.5) + 0.1


def test_a_limit_that_was_lowered_holds_at_once(db: Connection) -> None:
    fill(db, 20.0)
    assert takes(db, 20, limit=10) == 5


def test_a_clock_that_was_set_back_gives_nothing_and_takes_nothing(db: Connection) -> None:
    fill(db, 0.0, seconds_ago=-86400)
    assert takes(db, 3) == 0
    fill(db, 2.0, seconds_ago=-86400)
    assert takes(db, 5) == 2


def test_after_a_clock_was_set_back_the_first_call_sets_the_row_right(db: Connection) -> None:
    fill(db, 1.0, seconds_ago=-86400)
    assert takes(db, 1) == 1
    row = db.execute("select refilled_at <= clock_timestamp() from listener.budget").fetchone()
    assert row == (True,)


def test_processes_that_race_get_exactly_one_burst_together(dsn: str, db: Connection) -> None:
    fill(db, 20.0)
    won: list[int] = []
    start = threading.Barrier(4)

    def race() -> None:
        with psycopg.connect(dsn, autocommit=True) as connection:
            start.wait(10)
            won.append(takes(connection, 25))

    racers = [threading.Thread(target=race) for _ in range(4)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join(20)
    assert len(won) == 4
    assert sum(won) == 20
    assert len(journal(db)) == 20, "and the journal has a line for each"
    assert tokens(db) < 1


def test_a_call_stands_in_the_journal_before_it_is_made_and_its_answer_after(db: Connection) -> None:
    call_id, wait = take(db)
    assert (wait, journal(db)) == (0.0, [(SEND, 0, None, None)])
    assert call_id is not None
    note_answer(db, call_id, status=200, duration_ms=12.5, orders=2, error="one was refused")
    assert journal(db) == [(SEND, 2, 200, "one was refused")]


def test_a_refused_call_leaves_no_line(db: Connection) -> None:
    fill(db, 0.0)
    take(db)
    assert journal(db) == []


def test_a_call_that_was_not_made_is_given_back_once_and_leaves_no_line(db: Connection) -> None:
    fill(db, 5.0)
    call_id, _ = take(db)
    assert call_id is not None
    give_back_call(db, call_id, LIMIT)
    assert journal(db) == []
    assert tokens(db) == pytest.approx(5.0, abs=0.1)
    give_back_call(db, call_id, LIMIT)
    assert tokens(db) == pytest.approx(5.0, abs=0.1)


def test_what_is_given_back_does_not_exceed_the_burst(db: Connection) -> None:
    call_id, _ = take(db)
    assert call_id is not None
    fill(db, 20.0)
    give_back_call(db, call_id, LIMIT)
    assert tokens(db) == 20.0


def test_a_token_taken_in_a_transaction_that_fails_is_there_again(db: Connection) -> None:
    fill(db, 1.0)
    with db.transaction(force_rollback=True):
        assert takes(db, 2) == 1
    assert takes(db, 1) == 1


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def answer(**headers: str) -> Answer:
    return Answer(200, {name.replace("_", "-"): value for name, value in headers.items()}, b"", 1.0)


def test_every_call_is_counted_by_what_came_of_it(db: Connection) -> None:
    metrics = Metrics("test")
    budget = Budget(metrics, Clock())
    said_so_in_words = TooManyRequests(Answer(200, {}, b"Too many requests", 1.0))
    for came, error in ((answer(), None), (answer(), said_so_in_words), (None, NoAnswer("cut"))):
        (call_id,) = budget.take(db, Flags(), SEND)
        budget.note(db, call_id, came, 1, error)
    (call_id,) = budget.take(db, Flags(), SEND)
    budget.give_back(db, call_id, Flags())
    assert metrics.totals().api_calls == {f"200 {SEND}": 1, f"429 {SEND}": 1, f"none {SEND}": 1}


def test_a_closed_window_of_shipstation_costs_no_token(db: Connection) -> None:
    clock = Clock()
    budget = Budget(Metrics("test"), clock)
    (call_id,) = budget.take(db, Flags(), SEND)
    said = answer(X_Rate_Limit_Remaining="0", X_Rate_Limit_Reset="30")
    budget.answered(said)
    budget.note(db, call_id, said, 1, None)
    assert journal(db) == [(SEND, 1, 200, None)]
    before = tokens(db)
    with pytest.raises(NoBudget) as none_left:
        budget.take(db, Flags(), SEND)
    assert none_left.value.seconds == 30
    assert (tokens(db), len(journal(db))) == (before, 1)
    clock.now += 30
    assert budget.take(db, Flags(), SEND)


def test_a_call_that_is_given_back_is_not_counted_in_the_window_either(db: Connection) -> None:
    budget = Budget(Metrics("test"), Clock())
    budget.answered(answer(X_Rate_Limit_Remaining="1", X_Rate_Limit_Reset="30"))
    (call_id,) = budget.take(db, Flags(), SEND)
    budget.give_back(db, call_id, Flags())
    assert budget.take(db, Flags(), SEND)


# Several at once, and some left for others.


def test_the_calls_of_a_batch_are_taken_together_or_not_at_all(db: Connection) -> None:
    fill(db, 2.5)
    ids, wait = take_calls(db, LIMIT, [LIST, SEND])
    assert (len(ids), wait) == (2, 0.0)
    assert journal(db) == [(LIST, 0, None, None), (SEND, 0, None, None)]
    assert db.execute("select array_agg(id order by id) from listener.api_calls").fetchone() == (ids,)
    fill(db, 1.9)
    ids, wait = take_calls(db, LIMIT, [LIST, SEND])
    assert (ids, len(journal(db))) == ([], 2)
    assert 0 < wait <= 0.1 * REFILL_SECONDS
    assert tokens(db) == pytest.approx(1.9), "the first one's token was not spent"


def test_calls_that_are_taken_together_have_their_ids_in_the_order_of_their_endpoints(db: Connection) -> None:
    endpoints = [f"GET /{n}" for n in range(5)]
    ids, _ = take_calls(db, LIMIT, endpoints)
    assert ids == sorted(ids)
    assert [line[0] for line in journal(db)] == endpoints


def test_who_leaves_calls_for_others_waits_until_there_are_more(db: Connection) -> None:
    fill(db, 5.5)
    ids, wait = take_calls(db, LIMIT, [LIST], leaving=5)
    assert ids == []
    assert 0.4 * REFILL_SECONDS < wait <= 0.5 * REFILL_SECONDS
    fill(db, 6.0)
    assert len(take_calls(db, LIMIT, [LIST], leaving=5)[0]) == 1
    assert tokens(db) == pytest.approx(5.0, abs=0.1), "what is left is not spent"


def test_to_leave_more_than_a_burst_can_hold_means_a_full_bucket_and_not_never(db: Connection) -> None:
    fill(db, burst_of(4))
    assert len(take_calls(db, 4, [LIST], leaving=5)[0]) == 1
    assert take_calls(db, 4, [LIST], leaving=5)[0] == []


def test_more_calls_than_a_burst_holds_are_never_there_and_the_wait_says_so_without_a_fault(db: Connection) -> None:
    ids, wait = take_calls(db, LIMIT, [SEND] * 21)
    assert ids == []
    assert wait > 0


@pytest.mark.parametrize("limit", [1, 2, 40, 200, 1_000_000])
def test_however_small_the_limit_it_refills(limit: int) -> None:
    assert calls_a_second(limit) > 0


def test_several_calls_count_as_many_in_shipstations_window(db: Connection) -> None:
    budget = Budget(Metrics("test"), Clock())
    budget.answered(answer(X_Rate_Limit_Remaining="3", X_Rate_Limit_Reset="30"))
    with pytest.raises(NoBudget):
        budget.take(db, Flags(), LIST, leaving=3)
    assert len(budget.take(db, Flags(), LIST, SEND)) == 2
    with pytest.raises(NoBudget) as none_left:
        budget.take(db, Flags(), LIST, SEND)
    assert none_left.value.seconds == 30
    assert len(budget.take(db, Flags(), SEND)) == 1


def test_a_window_that_shipstation_has_closed_is_not_opened_by_a_call_that_is_given_back(db: Connection) -> None:
    budget = Budget(Metrics("test"), Clock())
    _, send_id = budget.take(db, Flags(), LIST, SEND)
    budget.throttled({"Retry-After": "12"})
    budget.give_back(db, send_id, Flags())
    with pytest.raises(NoBudget) as none_left:
        budget.take(db, Flags(), SEND)
    assert none_left.value.seconds == 12


def test_a_call_that_is_given_back_after_an_answer_adds_nothing_to_what_that_said(db: Connection) -> None:
    budget = Budget(Metrics("test"), Clock())
    _, send_id = budget.take(db, Flags(), LIST, SEND)
    budget.answered(answer(X_Rate_Limit_Remaining="0", X_Rate_Limit_Reset="12"))
    budget.give_back(db, send_id, Flags())
    with pytest.raises(NoBudget):
        budget.take(db, Flags(), SEND)


def test_an_empty_bucket_says_for_how_long(db: Connection) -> None:
    fill(db, 0.0)
    with pytest.raises(NoBudget) as none_left:
        Budget(Metrics("test"), Clock()).take(db, Flags(), SEND)
    assert REFILL_SECONDS - 1 < none_left.value.seconds <= REFILL_SECONDS


def test_no_answer_is_noted_with_its_reason(db: Connection) -> None:
    budget = Budget(Metrics("test"), Clock())
    (call_id,) = budget.take(db, Flags(), SEND)
    budget.note(db, call_id, None, 4, NoAnswer("ShipStation did not answer: timed out"))
    assert journal(db) == [(SEND, 4, None, "ShipStation did not answer: timed out")]


def test_throttling_closes_the_window_for_as_long_as_they_ask(db: Connection) -> None:
    clock = Clock()
    budget = Budget(Metrics("test"), clock)
    assert budget.throttled({"Retry-After": "12"}).seconds == 12
    with pytest.raises(NoBudget) as none_left:
        budget.take(db, Flags(), SEND)
    assert none_left.value.seconds == 12


# The call that is taken along with the check.


def test_a_check_takes_a_call_only_when_an_order_is_due(db: Connection) -> None:
    fill(db, 5.0)
    assert take_when_due(db, LIMIT, SEND)() == (0, None)
    assert (journal(db), tokens(db)) == ([], 5.0)
    insert_order(db, "A-1")
    due, call_id = take_when_due(db, LIMIT, SEND)()
    assert (due, journal(db)) == (1, [(SEND, 0, None, None)])
    assert db.execute("select id from listener.api_calls").fetchone() == (call_id,)
    assert tokens(db) == pytest.approx(4.0, abs=0.1)


def test_a_check_finds_what_is_due_also_without_a_call(db: Connection) -> None:
    insert_order(db, "A-1")
    fill(db, 0.9)
    assert take_when_due(db, LIMIT, SEND)() == (1, None)
    fill(db, 5.5)
    assert take_when_due(db, LIMIT, SEND, leaving=5)() == (1, None), "the others' are left"
    assert (journal(db), tokens(db)) == ([], 5.5)
    fill(db, 0.0, seconds_ago=1.5 * REFILL_SECONDS)
    due, call_id = take_when_due(db, LIMIT, SEND)()
    assert (due, call_id is None) == (1, False), "what has gathered since counts"
    assert tokens(db) == pytest.approx(0.5, abs=0.1)


def test_of_two_checks_at_once_one_gets_the_last_call(dsn: str, db: Connection) -> None:
    insert_order(db, "A-1")
    fill(db, 1.0)
    got: list[int | None] = []
    with psycopg.connect(dsn) as first, psycopg.connect(dsn, autocommit=True) as second:
        got.append(take_when_due(first, LIMIT, SEND)()[1])
        waiting = threading.Thread(target=lambda: got.append(take_when_due(second, LIMIT, SEND)()[1]))
        waiting.start()
        pid = second.info.backend_pid
        assert eventually(
            lambda: (
                db.execute("select wait_event_type = 'Lock' from pg_stat_activity where pid = %s", [pid]).fetchone()
                == (True,)
            )
        )
        first.commit()
        waiting.join(10)
    assert [call_id is None for call_id in got] == [False, True]


def test_a_call_for_which_the_window_has_no_room_goes_back(db: Connection) -> None:
    insert_order(db, "A-1")
    fill(db, 5.0)
    budget = Budget(Metrics("test"), Clock())
    budget.answered(answer(X_Rate_Limit_Remaining="0", X_Rate_Limit_Reset="30"))
    assert budget.take_when_due(db, Flags(), SEND)() == (1, None)
    assert (journal(db), tokens(db)) == ([], pytest.approx(5.0, abs=0.1))


# Threads that share ShipStation's window.


@pytest.fixture
def two(db: Connection) -> tuple[Budget, Budget]:
    """The upload's budget and the sync's, on one window of three calls, with plenty of tokens."""
    clock, window = Clock(), SharedWindow()
    upload, sync = Budget(Metrics("test"), clock, window), Budget(Metrics("test"), clock, window)
    upload.answered(answer(X_Rate_Limit_Remaining="3", X_Rate_Limit_Reset="30"))
    return upload, sync


def test_what_one_thread_takes_the_other_does_not_have(db: Connection, two: tuple[Budget, Budget]) -> None:
    upload, sync = two
    upload.take(db, Flags(), LIST, SEND)
    assert sync.take(db, Flags(), LIST)
    for budget in two:
        with pytest.raises(NoBudget):
            budget.take(db, Flags(), LIST)


def test_an_answer_to_one_thread_does_not_give_the_other_ones_calls_away(
    db: Connection, two: tuple[Budget, Budget]
) -> None:
    upload, sync = two
    _, send_id = upload.take(db, Flags(), LIST, SEND)
    sync.take(db, Flags(), LIST)
    sync.answered(answer(X_Rate_Limit_Remaining="2", X_Rate_Limit_Reset="29"))
    with pytest.raises(NoBudget):
        sync.take(db, Flags(), LIST)
    upload.give_back(db, send_id, Flags())
    assert sync.take(db, Flags(), LIST), "what was not made after all is everybody's again"


def test_threads_that_race_take_no_more_than_the_window_holds(dsn: str, db: Connection) -> None:
    fill(db, 20.0)
    window, start, got = SharedWindow(), threading.Barrier(4), []
    Budget(Metrics("test"), Clock(), window).answered(answer(X_Rate_Limit_Remaining="7", X_Rate_Limit_Reset="30"))

    def race() -> None:
        budget, taken = Budget(Metrics("test"), Clock(), window), 0
        with psycopg.connect(dsn, autocommit=True) as connection:
            start.wait(10)
            for _ in range(10):
                with suppress(NoBudget):
                    taken += len(budget.take(connection, Flags(), LIST))
        got.append(taken)

    racers = [threading.Thread(target=race) for _ in range(4)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join(20)
    assert sum(got) == 7


def test_an_empty_bucket_leaves_the_shared_window_as_it_was(db: Connection, two: tuple[Budget, Budget]) -> None:
    upload, sync = two
    fill(db, 0.0)
    with pytest.raises(NoBudget):
        upload.take(db, Flags(), LIST, SEND)
    fill(db, 20.0)
    assert len(sync.take(db, Flags(), LIST, LIST, LIST)) == 3


def test_throttling_of_one_closes_the_window_for_both_whatever_is_given_back(
    db: Connection, two: tuple[Budget, Budget]
) -> None:
    upload, sync = two
    _, send_id = upload.take(db, Flags(), LIST, SEND)
    sync.throttled({"Retry-After": "12"})
    upload.give_back(db, send_id, Flags())
    for budget in two:
        with pytest.raises(NoBudget) as none_left:
            budget.take(db, Flags(), LIST)
        assert none_left.value.seconds == 12


def test_while_one_waits_for_a_call_that_it_must_make_the_other_leaves_it(db: Connection) -> None:
    clock, window = Clock(), SharedWindow()
    upload, sync = Budget(Metrics("test"), clock, window), Budget(Metrics("test"), clock, window)
    fill(db, 0.0)
    with pytest.raises(NoBudget):
        sync.take(db, Flags(), LIST, must=True)
    fill(db, 1.0)
    with pytest.raises(NoBudget):
        upload.take(db, Flags(), SEND)
    assert sync.take(db, Flags(), LIST, must=True)
    fill(db, 1.0)
    assert upload.take(db, Flags(), SEND), "once it has made it, nothing is kept any more"


def test_a_call_is_not_kept_for_one_who_does_not_come(db: Connection) -> None:
    clock, window = Clock(), SharedWindow()
    upload, sync = Budget(Metrics("test"), clock, window), Budget(Metrics("test"), clock, window)
    fill(db, 0.0)
    with pytest.raises(NoBudget):
        sync.take(db, Flags(), LIST, must=True)
    fill(db, 1.0)
    clock.now += REFILL_SECONDS + 6
    assert upload.take(db, Flags(), SEND)
