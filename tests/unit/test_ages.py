"""For how long the oldest pending order has been known to us."""

from listener.ages import LOOKS_KEPT, FirstSeen


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


def test_it_remembers_a_bounded_number_of_looks_and_of_what_it_forgets_says_too_young() -> None:
    seen = FirstSeen()
    for n in range(LOOKS_KEPT + 10):
        age = seen.look(1, n + 1, float(n))
    assert len(seen.ids) == len(seen.times) == LOOKS_KEPT
    assert age == LOOKS_KEPT - 1
