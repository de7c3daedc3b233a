"""Where figures come in: which minute they belong to, and which minutes become rows."""

from datetime import UTC, datetime, timedelta

from listener.minute_book import RECENT_MINUTES, UNWRITTEN_KEPT, MinuteBook
from listener.minutes import Figures

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


class Book(MinuteBook):
    """A book whose process leads, unless it is said otherwise."""

    def __init__(self) -> None:
        super().__init__("p")

    def miss(self, seconds: float, *, leading: bool = True) -> None:
        self.turn_to(at(seconds), leading=leading).missed += 1

    def look(self, seconds: float) -> None:
        self.turn_to(at(seconds), leading=True)
        self.looked("upload", at(seconds))

    def rows(self) -> list[tuple[float, int]]:
        return [((minute.minute - NOON).total_seconds(), minute.figures.missed) for minute in self.unwritten]


def test_what_happens_is_counted_into_the_minute_in_which_it_happens() -> None:
    book = Book()
    for seconds in (0, 59.999, 60, 130):
        book.miss(seconds)
    assert book.rows() == [(0, 2), (60, 1)]


def test_the_latest_minutes_have_the_one_under_way_as_it_is_so_far() -> None:
    book = Book()
    assert book.latest == []
    book.miss(0)
    book.look(61)
    first, so_far = book.latest
    book.miss(62)
    assert (first.figures.missed, so_far.minute, so_far.figures.missed) == (1, at(60), 0)
    assert so_far.first_at == {"upload": 1}
    assert book.rows() == [(0, 1)]


def test_a_minute_is_no_row_before_it_is_over() -> None:
    book = Book()
    book.miss(59)
    assert book.rows() == []
    book.turn_to(at(60), leading=True)
    assert book.rows() == [(0, 1)]


def test_a_minute_in_which_nothing_happens_is_a_row_all_the_same() -> None:
    book = Book()
    for seconds in range(0, 200, 10):
        book.turn_to(at(seconds), leading=True)
    assert book.rows() == [(0, 0), (60, 0), (120, 0)]


def test_minutes_in_which_the_process_stood_still_are_no_rows() -> None:
    book = Book()
    book.miss(10)
    book.miss(310)
    book.miss(360)
    assert book.rows() == [(0, 1), (300, 1)]


def test_a_process_that_does_not_lead_has_no_rows() -> None:
    book = Book()
    for seconds in range(0, 200, 10):
        book.turn_to(at(seconds), leading=False)
    assert book.rows() == []


def test_what_was_counted_before_it_led_goes_into_the_first_minute_in_which_it_does() -> None:
    book = Book()
    book.miss(10, leading=False)
    book.miss(130, leading=True)
    book.miss(180)
    assert book.rows() == [(120, 2)]


def test_a_minute_in_which_it_led_for_a_moment_is_a_row() -> None:
    book = Book()
    book.miss(10, leading=True)
    book.miss(11, leading=False)
    book.miss(61, leading=False)
    assert book.rows() == [(0, 2)]


def test_a_look_shows_that_it_leads_though_nobody_has_said_so_yet() -> None:
    book = Book()
    book.turn_to(at(10), leading=False)
    book.looked("upload", at(10))
    book.turn_to(at(60), leading=False)
    assert book.rows() == [(0, 0)]


def test_a_clock_that_is_set_back_adds_to_the_minute_under_way() -> None:
    book = Book()
    for seconds in (65, 5, -3600, 70, 120):
        book.miss(seconds)
    assert book.rows() == [(60, 4)]


def test_a_row_says_when_was_looked_and_the_longest_time_between() -> None:
    book = Book()
    for seconds in (3, 18, 34, 49, 70, 85, 125):
        book.look(seconds)
    first, second = book.unwritten
    assert (first.first_at, first.last_at, first.figures.gap_seconds_max) == (
        {"upload": 3},
        {"upload": 49},
        {"upload": 16},
    )
    assert (second.first_at, second.last_at) == ({"upload": 10}, {"upload": 25})
    assert second.figures.gap_seconds_max == {"upload": 21}, "from the last look of the minute before"


def test_the_minute_under_way_is_closed_when_the_process_ends() -> None:
    book = Book()
    book.miss(10)
    book.close()
    assert book.rows() == [(0, 1)]
    book.close()
    assert book.rows() == [(0, 1)], "and only once"


def test_what_is_written_is_forgotten_and_what_came_meanwhile_is_not() -> None:
    book = Book()
    for seconds in (0, 60, 120):
        book.miss(seconds)
    being_written = book.unwritten
    book.miss(180)
    book.written(being_written)
    assert book.rows() == [(120, 1)]
    book.written([])
    assert book.rows() == [(120, 1)]


def test_a_day_of_minutes_waits_to_be_written_and_no_more() -> None:
    book = Book()
    for minute in range(UNWRITTEN_KEPT + 3):
        book.miss(60 * minute)
    assert len(book.rows()) == UNWRITTEN_KEPT
    assert book.rows()[0] == (120, 1)


def test_the_totals_go_on_over_the_minutes() -> None:
    book = Book()
    for seconds in (0, 61, 62):
        book.miss(seconds)
        book.turn_to(at(seconds), leading=True).wakes["notify"] = 1
    assert (book.totals().missed, book.totals().wakes) == (3, {"notify": 2})
    assert book.totals() == book.totals(), "asking changes nothing"


def test_recent_is_a_quarter_of_an_hour_and_the_minute_under_way() -> None:
    book = Book()
    for minute in range(RECENT_MINUTES + 5):
        book.miss(60 * minute)
    assert book.recent().missed == RECENT_MINUTES
    book.turn_to(at(86_400), leading=True)
    assert book.recent() == Figures(), "however long it stood still in between"
