"""Bells that announce nothing are heeded at once, until there are too many; one that does makes up for all of them."""

from math import inf

from listener.false_alarms import MOST, PAUSE_SECONDS, SECONDS, FalseAlarms


def heeded(alarms: FalseAlarms, now: float) -> bool:
    alarms.rang(now)
    return alarms.is_to_be_heeded(now)


def flooded(now: float = 0.0) -> FalseAlarms:
    alarms = FalseAlarms()
    for _ in range(MOST):
        assert heeded(alarms, now)
        alarms.looked(now, found=False)
    return alarms


def test_after_many_in_vain_the_next_waits_for_a_moment_and_is_heeded_once() -> None:
    alarms = flooded()
    assert alarms.rang(1.0)
    assert alarms.heed_at == 1.0 + PAUSE_SECONDS
    assert not alarms.is_to_be_heeded(1.0 + PAUSE_SECONDS / 2)
    assert not alarms.rang(1.0 + PAUSE_SECONDS / 2), "one waits already"
    assert alarms.is_to_be_heeded(1.0 + PAUSE_SECONDS)
    assert alarms.heed_at == inf
    assert not alarms.is_to_be_heeded(2.0)


def test_as_many_over_a_longer_time_are_no_flood() -> None:
    alarms = flooded()
    assert heeded(alarms, SECONDS)


def test_an_order_that_is_found_ends_the_waiting() -> None:
    alarms = flooded()
    alarms.looked(0.1, found=True)
    assert heeded(alarms, 0.1)


def test_a_look_for_another_reason_that_finds_nothing_counts_for_nothing() -> None:
    alarms = FalseAlarms()
    for _ in range(2 * MOST):
        alarms.looked(0.0, found=False)
    assert heeded(alarms, 0.0)


def test_a_flood_is_a_bounded_number_of_looks_a_second() -> None:
    alarms, looks = FalseAlarms(), 0
    for tick in range(10_000):  # ten seconds of a bell each millisecond
        if heeded(alarms, tick / 1000):
            looks += 1
            alarms.looked(tick / 1000, found=False)
    assert MOST <= looks <= MOST + 10 / PAUSE_SECONDS + 1
