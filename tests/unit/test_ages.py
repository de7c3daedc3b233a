"""For how long the oldest pending order has been known to us."""

import pytest

from listener import ages
from listener.ages import FirstSeen


def test_without_pending_orders_the_age_is_0() -> None:
    assert FirstSeen().look(None, None, 100.0) == 0.0


def test_an_order_is_as_old_as_the_first_look_that_saw_it() -> None:
    seen = FirstSeen()
    assert seen.look(5, 5, 100.0) == 0.0
    assert seen.look(5, 5, 107.0) == 7.0


def test_newer_orders_do_not_make_the_oldest_younger() -> None:
    seen = FirstSeen()
    seen.look(5, 5, 100.0)
    assert seen.look(5, 9, 103.0) == 3.0
    assert seen.look(5, 12, 110.0) == 10.0


def test_when_the_oldest_is_done_the_next_counts_from_its_own_first_look() -> None:
    seen = FirstSeen()
    seen.look(5, 6, 100.0)
    seen.look(5, 9, 103.0)
    assert seen.look(7, 9, 110.0) == 7.0
    assert seen.look(9, 9, 111.0) == 8.0


def test_orders_of_one_look_have_one_age() -> None:
    seen = FirstSeen()
    seen.look(5, 8, 100.0)
    assert seen.look(8, 8, 104.0) == 4.0


def test_an_order_that_nobody_saw_before_begins_at_0() -> None:
    seen = FirstSeen()
    seen.look(5, 5, 100.0)
    assert seen.look(6, 6, 110.0) == 0.0


def test_after_an_empty_look_all_begins_anew() -> None:
    seen = FirstSeen()
    seen.look(5, 5, 100.0)
    assert seen.look(None, None, 101.0) == 0.0
    assert seen.look(5, 5, 102.0) == 0.0


def test_of_what_it_has_forgotten_it_says_too_young_an_age(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ages, "LOOKS_KEPT", 5)
    seen = FirstSeen()
    told = [seen.look(1, n + 1, float(n)) for n in range(8)]
    assert told == [0, 1, 2, 3, 4, 4, 4, 4]
    assert len(seen.ids) == len(seen.times) == 5
