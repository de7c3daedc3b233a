"""How fast a piece of work goes, and when it will be over."""

import pytest

from listener.headway import MEASURED_SECONDS, Pace


def pace(*marks: tuple[float, int]) -> Pace:
    made = Pace()
    for at, done in marks:
        made.note(done, at)
    return made


def test_nothing_can_be_told_of_one_look() -> None:
    assert pace().a_second(5) is None
    assert pace((0, 100), (3, 100)).a_second(3) is None
    assert pace((0, 100)).seconds_left(200, 3) is None


def test_what_was_done_before_the_first_look_does_not_count() -> None:
    work = pace((0, 5000), (10, 5100))
    assert work.a_second(10) == 10
    assert work.seconds_left(5200, 10) == 10


def test_while_it_waits_it_becomes_slower() -> None:
    work = pace((0, 0), (10, 100), (20, 100))
    assert work.a_second(20) == 5
    assert work.seconds_left(200, 20) == 20


def test_the_speed_is_that_of_the_last_seconds() -> None:
    slow_then_fast = [(float(at), at if at <= 100 else 100 + 50 * (at - 100)) for at in range(200)]
    assert pace(*slow_then_fast).a_second(199) == pytest.approx(50)


def test_large_steps_are_measured_over_the_last_two() -> None:
    minute = 2 * MEASURED_SECONDS
    assert pace((0, 0), (minute, 500), (2 * minute, 1500)).a_second(2 * minute) == 1000 / minute


def test_work_that_begins_anew_is_measured_anew() -> None:
    assert pace((0, 0), (10, 100), (11, 5)).a_second(11) is None
    assert pace((0, 0), (10, 100), (11, 5), (12, 25)).a_second(12) == 20


def test_more_than_was_expected_is_never_less_than_nothing() -> None:
    assert pace((0, 0), (10, 100)).seconds_left(90, 10) == 0
