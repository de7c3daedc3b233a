"""When an alert is due: a law over (what was told, the colour, the time)."""

from collections.abc import Sequence
from itertools import pairwise

import pytest

from listener.alert import (
    AGAIN_SECONDS,
    HOLD_SECONDS,
    LONGEST_TEXT,
    QUIET_SECONDS,
    Memory,
    Outcome,
    after,
    consider,
    text_of,
)
from listener.health import Colour

GREEN, AMBER, RED = Colour.GREEN, Colour.AMBER, Colour.RED


def told(looks: Sequence[tuple[float, Colour]], outcome: Outcome = Outcome.TOLD) -> list[tuple[float, Colour]]:
    """Return what is sent when, if this is seen at these times."""
    memory, sent = Memory(), []
    for now, colour in looks:
        memory, due = consider(memory, colour, now)
        if due:
            sent.append((now, colour))
            memory = after(memory, colour, outcome, now)
    return sent


def steadily(colour: Colour, begin: float, end: float) -> list[tuple[float, Colour]]:
    return [(float(now), colour) for now in range(int(begin), int(end), 2)]


def test_red_is_told_when_it_has_stood_for_ten_seconds() -> None:
    assert told(steadily(RED, 0, 60)) == [(HOLD_SECONDS, RED)]


def test_what_lasts_for_less_is_no_news() -> None:
    assert told([*steadily(RED, 0, 9), (9, GREEN), *steadily(RED, 10, 19), (19, AMBER), *steadily(GREEN, 20, 60)]) == []


def test_back_is_told_a_quarter_of_an_hour_later_at_the_earliest() -> None:
    looks = steadily(RED, 0, 100) + steadily(GREEN, 100, 2000)
    assert told(looks) == [(10, RED), (10 + QUIET_SECONDS, GREEN)]


def test_what_was_over_by_then_is_told_by_neither() -> None:
    looks = steadily(RED, 0, 100) + steadily(GREEN, 100, 300) + steadily(RED, 300, 1200)
    assert told(looks) == [(10, RED)]


def test_amber_is_not_back_and_is_no_alarm() -> None:
    assert told(steadily(AMBER, 0, 3000)) == []
    assert told(steadily(RED, 0, 100) + steadily(AMBER, 100, 3000)) == [(10, RED)]
    looks = steadily(RED, 0, 100) + steadily(AMBER, 100, 2000) + steadily(GREEN, 2000, 2100)
    assert told(looks) == [(10, RED), (2010, GREEN)]


def test_a_listener_that_flaps_tells_it_at_most_once_in_a_quarter_of_an_hour() -> None:
    looks = [look for n in range(200) for look in steadily(GREEN if n % 2 else RED, 20 * n, 20 * n + 20)]
    times = [now for now, _ in told(looks)]
    assert len(times) > 2
    assert all(later - earlier >= QUIET_SECONDS for earlier, later in pairwise(times))


@pytest.mark.parametrize(("outcome", "pause"), [(Outcome.NOT_SENT, AGAIN_SECONDS), (Outcome.UNKNOWN, QUIET_SECONDS)])
def test_what_was_not_taken_is_told_again(outcome: Outcome, pause: float) -> None:
    times = [now for now, _ in told(steadily(RED, 0, 2000), outcome)]
    assert times[:3] == [10, 10 + pause, 10 + 2 * pause]


def test_the_text_names_host_colour_and_reasons_and_is_not_endless() -> None:
    assert text_of(RED, ["deaf", "no budget"], "box") == "listener on box is red: deaf; no budget"
    assert text_of(GREEN, [], "box") == "listener on box is green again"
    assert len(text_of(RED, ["x" * 9999], "box")) == LONGEST_TEXT
