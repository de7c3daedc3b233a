"""How long is waited before the next try, and how soon the waiting ends when the listener is to stop."""

import threading
import time

import pytest
from tenacity import RetryCallState, wait_fixed

from listener import retry
from listener.errors import Fatal, Transient


def say_nothing(_call: RetryCallState) -> None:
    """The default of `before_sleep` in these tests."""


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reconnect without a pause."""
    monkeypatch.setattr(retry, "RECONNECT", wait_fixed(0))


def test_a_workflow_waits_a_minute_more_after_each_error_up_to_five() -> None:
    waits = [retry.seconds_before(retry.WORKFLOW_BACKOFF, attempt) for attempt in range(1, 9)]
    assert waits == [60, 120, 180, 240, 300, 300, 300, 300]


@pytest.mark.parametrize(("attempt", "least"), [(1, 0.1), (2, 0.2), (3, 0.4), (4, 0.5), (50, 0.5), (1100, 0.5)])
def test_a_reconnect_begins_at_a_tenth_of_a_second_and_doubles_to_half_a_second(attempt: int, least: float) -> None:
    for _ in range(20):
        assert least <= retry.seconds_before(retry.RECONNECT, attempt) <= least + 0.1


@pytest.mark.parametrize("attempt", [1101, 1102, 1_000_000])
def test_after_ten_minutes_a_reconnect_is_tried_every_ten_seconds_for_ever(attempt: int) -> None:
    assert 10 <= retry.seconds_before(retry.RECONNECT, attempt) <= 10.5


def test_the_quick_tries_last_for_about_ten_minutes() -> None:
    assert 545 <= sum(retry.seconds_before(retry.RECONNECT, attempt) for attempt in range(1, 1101)) <= 660


def test_a_herd_does_not_come_back_in_step() -> None:
    for attempt in (5, 700):
        assert len({retry.seconds_before(retry.RECONNECT, attempt) for _ in range(20)}) > 1


def test_it_is_tried_again_until_it_works_and_each_pause_is_announced(at_once: None) -> None:
    outcomes, told = iter([Transient("one"), Transient("two"), "connected"]), []

    def connect() -> str:
        if isinstance(outcome := next(outcomes), Transient):
            raise outcome
        return outcome

    tries = retry.reconnecting(threading.Event(), lambda call: told.append(str(call.outcome.exception())))
    assert tries(connect) == "connected"
    assert told == ["one", "two"]


def test_what_no_waiting_mends_is_not_tried_again(at_once: None) -> None:
    tried = []

    def connect() -> None:
        tried.append(1)
        raise Fatal("no such database")

    with pytest.raises(Fatal, match="no such database"):
        retry.reconnecting(threading.Event(), say_nothing)(connect)
    assert len(tried) == 1


def test_a_stop_ends_the_pause_under_way_and_says_what_was_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "RECONNECT", wait_fixed(5))
    stopping, tried = threading.Event(), []

    def connect() -> None:
        tried.append(1)
        raise Transient("nobody is there")

    began = time.monotonic()
    with pytest.raises(Transient, match="nobody is there"):
        retry.reconnecting(stopping, lambda _call: stopping.set())(connect)
    assert time.monotonic() - began < 1
    assert len(tried) == 2, "once more after the pause: the tried function looks at the event itself"


def test_a_stop_that_came_during_the_try_ends_it_without_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "RECONNECT", wait_fixed(5))
    stopping, tried = threading.Event(), []

    def connect() -> None:
        tried.append(1)
        stopping.set()
        raise Transient("nobody is there")

    with pytest.raises(Transient):
        retry.reconnecting(stopping, say_nothing)(connect)
    assert len(tried) == 1
