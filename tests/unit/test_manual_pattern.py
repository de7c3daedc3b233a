"""manual_order_pattern: no expression that is taken can hold the process up, and none that people write is refused."""

import time

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from listener.manual_pattern import fault_of, is_manual

TOO_SLOW = "would take too long to search for"
SECONDS_OF_A_SEARCH = 0.5
"""Of processor time, where some ten milliseconds are meant and what is refused takes minutes."""


@pytest.mark.parametrize(
    "bomb",
    [
        r"^(a+)+$",
        r"(a|a)*$",
        r"(.*)*x",
        r"(\d+)*\D",
        r"^(\d|\d\d)*x",
        r"(x+x+)+y",
        r"^([A-Z]+-?)+$",
        r"(a?){50}a{50}",
        "a?" * 40 + "a" * 40,
        r"\w*" * 60,
        r".*.*.*.*.*.*x",
        r"(?=(a+)+b)",
        r"(?<!(?:aa?){30})",
        r"((((a{0,9}){0,9}){0,9}){0,9}){0,9}",
        r"(){4000000}",
        r"(((){50}){50}){50}",
    ],
)
def test_an_expression_that_can_be_laid_over_a_number_in_too_many_ways_is_refused(bomb: str) -> None:
    started = time.thread_time()
    assert TOO_SLOW in (fault_of.__wrapped__(bomb) or "")
    assert time.thread_time() - started < SECONDS_OF_A_SEARCH


@pytest.mark.parametrize("pattern", [r"(a)\1", r"(?P<x>a)(?P=x)", r"(a)?(?(1)b|c)", "a*+b", "(?>a*)b"])
def test_parts_whose_ways_cannot_be_counted_are_refused(pattern: str) -> None:
    assert "must do without" in (fault_of(pattern) or "")


@pytest.mark.parametrize(
    ("pattern", "found", "not_found"),
    [
        (r"^10[0-9]{4}$", "100001", "1000012"),
        (r"^M-", "m-1", "1-M-"),
        (r"-M$", "1-M", "1-MM"),
        (r"^(10|20)[0-9]{4}$", "200001", "300001"),
        (r"^(10[0-9]{4}|M-[0-9]+)$", "M-17", "M-"),
        (r"^(?!WEB-)", "X-1", "WEB-1"),
        (r"(?<=M)-\d+", "AM-1", "A-1"),
        (r"^[A-Z]+-[0-9]+-[0-9]+$", "A-1-2", "A-1"),
        (r"[A-Z]+-[0-9]+", "1A-2", "1-2"),
        (r".*-M.*", "1-M2", "1M"),
        (r"\bM[0-9]+\b", "A M1", "AM1"),
        (r"(?i)^man", "MaN1", "nam"),
        (r"^[^0-9]+$", "ÄÖ", "Ä1"),
        (r"^.{5}(ab?c?)?$", "12345ab", "12345b"),
    ],
)
def test_what_people_write_is_taken(pattern: str, found: str, not_found: str) -> None:
    assert fault_of(pattern) is None
    assert is_manual(found, pattern)
    assert not is_manual(not_found, pattern)


def test_a_number_is_searched_as_written_and_in_upper_case_without_what_surrounds_it() -> None:
    assert is_manual("  m-1 ", "^M-1$")
    assert is_manual("m-1\n", "^m-1$")


def test_a_number_longer_than_shipstation_knows_is_not_searched() -> None:
    assert is_manual("1" * 50, "1")
    assert not is_manual("1" * 51, "1")
    assert not is_manual(" 1" * 500_000, "1")


parts = st.recursive(
    st.sampled_from(["a", "b", ".", "[ab]", r"\w", "^", "$", r"\b", ""]),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda two: f"(?:{two[0]}|{two[1]})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "*?", "{2}", "{0,3}", "{1,30}"])).map(
            lambda two: f"(?:{two[0]}){two[1]}"
        ),
        inner.map(lambda one: f"(?={one})"),
    ),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(parts, st.text("ab", max_size=50))
@example("(?:(?:a)+)+b", "")
@example("(?:a|a)*b", "")
def test_no_expression_that_is_taken_takes_long(pattern: str, ending: str) -> None:
    if fault_of(pattern + "c"):
        return
    for number in ("a" * 50, ("a" * 50)[: 50 - len(ending)] + ending, "ab" * 25):
        started = time.thread_time()
        is_manual(number, pattern + "c")
        assert time.thread_time() - started < SECONDS_OF_A_SEARCH
