"""ShipStation's clock, above all in the two nights in which it is changed."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from listener.shipstation.pacific import earlier, from_pacific, is_repeated, later, overlap, tick, to_pacific

# Pacific clocks went from 02:00 to 03:00 on 9 March 2025 (10:00 UTC) and from 02:00 to 01:00 on 2 November (09:00 UTC).
AUTUMN = datetime(2025, 11, 2, 8, tzinfo=UTC)
SPRING = datetime(2025, 3, 9, 10, tzinfo=UTC)
INSTANTS = st.one_of(
    st.integers(1_262_304_000, 2_051_222_400).map(
        lambda seconds: datetime.fromtimestamp(seconds + 0.25, UTC)
    ),  # 2010-34
    st.integers(-10800, 10800).map(lambda seconds: AUTUMN + timedelta(seconds=seconds)),
    st.integers(-10800, 10800).map(lambda seconds: SPRING + timedelta(seconds=seconds)),
)


@pytest.mark.parametrize(
    ("instant", "text"),
    [
        (datetime(2025, 7, 1, 12, 0, 0, 999999, tzinfo=UTC), "2025-07-01 05:00:00"),
        (datetime(2025, 12, 1, 7, 59, 59, tzinfo=UTC), "2025-11-30 23:59:59"),
        (datetime(2025, 7, 1, 14, tzinfo=ZoneInfo("Europe/Berlin")), "2025-07-01 05:00:00"),
        (AUTUMN, "2025-11-02 01:00:00"),
        (AUTUMN + timedelta(hours=1), "2025-11-02 01:00:00"),
        (SPRING, "2025-03-09 03:00:00"),
    ],
)
def test_an_instant_is_written_as_the_pacific_clock_shows_it(instant: datetime, text: str) -> None:
    assert to_pacific(instant) == text


def test_a_time_without_a_zone_is_not_taken_for_this_machines() -> None:
    with pytest.raises(ValueError, match="zone"):
        to_pacific(datetime(2025, 7, 1))  # noqa: DTZ001


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2025-07-01T05:00:00.1230000", datetime(2025, 7, 1, 12, 0, 0, 123000, tzinfo=UTC)),
        ("2025-07-01T05:00:00.1234567", datetime(2025, 7, 1, 12, 0, 0, 123456, tzinfo=UTC)),
        ("2025-07-01 05:00:00", datetime(2025, 7, 1, 12, tzinfo=UTC)),
        ("2025-12-01T05:00:00.12", datetime(2025, 12, 1, 13, 0, 0, 120000, tzinfo=UTC)),
        ("2025-07-01T05:00:00.000Z", datetime(2025, 7, 1, 12, tzinfo=UTC)),
    ],
)
def test_a_stamp_is_pacific_however_it_is_written(text: str, instant: datetime) -> None:
    read = from_pacific(text)
    assert read == instant
    assert read.tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "2025-07-01",
        "2025-07-01T05:00",
        "2025-13-01T05:00:00",
        "2025-07-01T05:00:00+02:00",
        "2025-07-01T05:00:00Zulu",
        "2025-07-01T05:00:00.12345678",
        "2025-07-01T05:00:00\n",
        "\u0662025-07-01T05:00:00",
        "9999-12-31T23:59:59",
    ],
)
def test_what_is_no_stamp_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="time"):
        from_pacific(text)


@given(st.from_regex(r"\A[0-9]{4}-[01][0-9]-[0-3][0-9][T ][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\.[0-9]{0,8})?Z?\Z"))
@settings(max_examples=40)
def test_what_looks_like_a_stamp_is_a_time_or_is_refused_in_our_words(text: str) -> None:
    try:
        assert from_pacific(text).tzinfo is UTC
    except ValueError as error:
        assert "time" in str(error)


def test_a_stamp_of_the_repeated_hour_is_read_as_the_earlier_instant() -> None:
    assert from_pacific("2025-11-02T01:30:00") == AUTUMN + timedelta(minutes=30)
    assert from_pacific("2025-11-02T02:00:00") == AUTUMN + timedelta(hours=2)


def test_a_stamp_of_the_hour_left_out_is_read_as_the_moment_of_the_jump() -> None:
    assert from_pacific("2025-03-09T02:30:12.5") == SPRING
    assert from_pacific("2025-03-09T01:59:59") == SPRING - timedelta(seconds=1)
    assert from_pacific("2025-03-09T03:00:00") == SPRING


@pytest.mark.parametrize("day", ["2025-03-09", "2025-11-02"])
def test_a_later_stamp_is_never_an_earlier_instant(day: str) -> None:
    clock = [from_pacific(f"{day} 0{hour}:{minute:02}:00") for hour in range(5) for minute in range(60)]
    assert clock == sorted(clock)


@given(INSTANTS)
@settings(max_examples=40)
def test_what_is_written_reads_back_as_the_same_second_or_the_first_pass_of_it(instant: datetime) -> None:
    second = instant.replace(microsecond=0)
    read = from_pacific(to_pacific(instant))
    assert read == second or (is_repeated(second) and read == second - timedelta(hours=1))


@pytest.mark.parametrize(
    ("watermark", "minutes"),
    [
        (datetime(2025, 7, 1, tzinfo=UTC), 5),
        (SPRING, 5),
        (AUTUMN - timedelta(seconds=1), 5),
        (AUTUMN, 65),
        (AUTUMN + timedelta(minutes=59), 65),
        (AUTUMN + timedelta(hours=2), 125),  # 02:00 on the clock: 65 minutes back on it, one hour more in truth
        (AUTUMN + timedelta(hours=2, minutes=4), 125),
        (AUTUMN + timedelta(hours=2, minutes=5), 5),
    ],
)
def test_more_is_read_again_around_the_repeated_hour(watermark: datetime, minutes: int) -> None:
    assert overlap(watermark) == timedelta(minutes=minutes)


@given(st.integers(0, 7499))
@settings(max_examples=40)
def test_while_stamps_of_the_repeated_hour_may_come_the_list_is_read_from_before_it(seconds: int) -> None:
    watermark = AUTUMN + timedelta(seconds=seconds)
    assert to_pacific(watermark - overlap(watermark)) < "2025-11-02 01:00:00"


@given(INSTANTS)
@settings(max_examples=40)
def test_ticks_follow_each_other_as_the_clock_shows_them(instant: datetime) -> None:
    here = tick(instant)
    assert here <= instant
    assert tick(here) == here
    assert earlier(later(here, 1)) == here == later(earlier(here), 1)
    assert to_pacific(here) < to_pacific(later(here, 1))
    assert from_pacific(to_pacific(here)) == here


def test_the_repeated_hour_is_one_tick_in_both_passes() -> None:
    assert {tick(AUTUMN + timedelta(minutes=minutes)) for minutes in range(120)} == {AUTUMN}
    assert later(AUTUMN, 1) == AUTUMN + timedelta(hours=2)
    assert later(AUTUMN - timedelta(seconds=2), 3) == AUTUMN + timedelta(hours=2)
