"""ShipStation's own window: what its headers say is believed, and a closed one is waited for."""

import pytest

from listener.shipstation.window import Window


def headers(remaining: object, reset: object) -> dict[str, str]:
    return {"X-Rate-Limit-Remaining": str(remaining), "X-Rate-Limit-Reset": str(reset)}


def after_requests(count: int, now: float) -> Window:
    window = Window()
    for _ in range(count):
        assert window.wait(now) == 0.0
        window = window.after_request(now)
    return window


def test_until_the_first_answer_forty_requests_a_minute_may_leave() -> None:
    window = after_requests(40, now=100.0)
    assert window.wait(100.0) == 60.0
    assert window.wait(159.0) == 1.0
    assert window.wait(160.0) == 0.0


def test_the_assumed_minute_begins_with_its_first_request() -> None:
    window = Window().after_request(100.0)
    for _ in range(39):
        window = window.after_request(150.0)
    assert window.wait(150.0) == 10.0


def test_a_request_after_the_end_of_a_window_opens_a_new_one() -> None:
    window = after_requests(40, now=100.0).after_request(160.0)
    assert window == Window(39, 220.0)


def test_the_headers_of_an_answer_are_believed_over_our_count() -> None:
    window = after_requests(3, now=100.0)
    assert window.after_answer(headers(0, 17), 101.0).wait(101.0) == 17.0
    assert window.after_answer(headers(5, 17), 101.0) == Window(5, 118.0)


def test_others_may_use_up_the_key_and_give_it_free_again() -> None:
    window = Window().after_answer(headers(1, 30), 100.0).after_request(100.0)
    assert window.wait(100.0) == 30.0
    assert window.wait(130.0) == 0.0
    assert window.after_answer(headers(12, 28), 102.0).wait(102.0) == 0.0


def test_blanks_around_the_figures_are_no_matter() -> None:
    assert Window().after_answer(headers(" 3 ", " 9 "), 0.0) == Window(3, 9.0)


@pytest.mark.parametrize(
    "said",
    [
        {},
        headers("", ""),
        headers("-1", "10"),
        headers("3", "soon"),
        headers("9" * 5000, "1"),
        {"X-Rate-Limit-Remaining": "0"},
    ],
)
def test_headers_that_say_nothing_leave_the_count_as_it_was(said: dict[str, str]) -> None:
    window = Window(7, 130.0)
    assert window.after_answer(said, 100.0) == window


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ({"X-Rate-Limit-Reset": "20"}, 20.0),
        ({"Retry-After": "7"}, 7.0),
        ({"X-Rate-Limit-Reset": "20", "Retry-After": "7"}, 20.0),
        ({"X-Rate-Limit-Reset": "soon", "Retry-After": "7"}, 7.0),
        ({"X-Rate-Limit-Reset": "0"}, 1.0),
        ({"X-Rate-Limit-Reset": "86400"}, 3600.0),
        ({"X-Rate-Limit-Reset": "9" * 5000, "Retry-After": "7"}, 7.0),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 60.0),
        ({}, 60.0),
    ],
)
def test_throttling_closes_the_window_for_as_long_as_they_say_or_a_minute(said: dict[str, str], seconds: float) -> None:
    window = Window(39, 130.0).after_throttling(said, 100.0)
    assert window.wait(100.0) == seconds
    assert window.wait(100.0 + seconds) == 0.0
