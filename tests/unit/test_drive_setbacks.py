"""A file that could not be read is tried again in its time, is named when it lasts, and holds up no other."""

from listener.sources.drive.setbacks import QUICK_TRIES, SLOWLY_SECONDS, Setbacks
from listener.sources.source import Listing, SourceFile

A, B = SourceFile("1", "a.xml", "r1", 9), SourceFile("2", "b.xml", "r1", 9)
A2 = SourceFile("1", "a.xml", "r2", 9)


def test_without_a_setback_files_come_by_name() -> None:
    assert Setbacks().arrange([B, A], 0.0) == Listing((A, B))


def test_it_rests_for_a_second_and_comes_last_then() -> None:
    setbacks = Setbacks()
    setbacks.note(A, "why", 10.0)
    assert setbacks.arrange([A, B], 10.9) == Listing((B,), ("a.xml",))
    assert setbacks.arrange([A, B], 11.0) == Listing((B, A))


def test_what_lasts_is_named_tried_each_minute_and_named_still_while_it_is_tried() -> None:
    setbacks = Setbacks()
    for second in range(QUICK_TRIES):
        setbacks.note(A, "why", float(second))
        assert setbacks.arrange([A], float(second)) == Listing((), ("a.xml",))
    setbacks.note(A, "why", 10.0)
    named = (("a.xml", "why"),)
    assert setbacks.arrange([A], 10.0 + SLOWLY_SECONDS - 1) == Listing((), (), named)
    assert setbacks.arrange([A], 10.0 + SLOWLY_SECONDS) == Listing((A,), (), named)


def test_what_a_second_does_not_mend_is_named_at_once() -> None:
    setbacks = Setbacks()
    setbacks.note(A, "forbidden", 10.0, lasting=True)
    assert setbacks.arrange([A], 11.0) == Listing((), (), (("a.xml", "forbidden"),))


def test_another_content_and_a_file_that_was_read_or_gone_start_without_a_past() -> None:
    for forgets in (
        lambda setbacks: setbacks.arrange([A2], 10.0),
        lambda setbacks: setbacks.arrange([], 10.0),
        lambda setbacks: setbacks.forget(A),
    ):
        setbacks = Setbacks()
        setbacks.note(A, "why", 10.0, lasting=True)
        forgets(setbacks)
        assert setbacks.arrange([A], 10.0) == Listing((A,))


def test_another_content_does_not_wait_for_the_time_of_the_one_before() -> None:
    setbacks = Setbacks()
    setbacks.note(A, "why", 10.0, lasting=True)
    assert setbacks.arrange([A2, B], 10.0) == Listing((A2, B))
