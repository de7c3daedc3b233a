"""The sync's watermark: every text that a program has left there, and the one that is written."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from listener.shipstation.watermark import read_watermark, write_watermark

NOW = datetime(2025, 11, 25, 12, tzinfo=UTC)
TWO_WEEKS_AGO = NOW - timedelta(days=14)


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("2025-11-20T10:11:12.1230000", utc(2025, 11, 20, 18, 11, 12, 123000)),  # as ShipStation writes its stamps
        ("2025-11-20T10:11:12", utc(2025, 11, 20, 18, 11, 12)),
        ("2025-11-20 10:11:12.5", utc(2025, 11, 20, 18, 11, 12, 500000)),
        ("  2025-11-20 10:11 ", utc(2025, 11, 20, 18, 11)),
        ("2025-11-20", utc(2025, 11, 20, 8)),
        ("2025-11-20T10:11:12.123456789", utc(2025, 11, 20, 18, 11, 12, 123456)),
        ("2025-11-20T10:11:12Z", utc(2025, 11, 20, 10, 11, 12)),  # of two readings the earlier
        ("2025-11-20T10:11:12.1230000z", utc(2025, 11, 20, 10, 11, 12, 123000)),
        ("2025-11-20T10:11:12.123+00:00", utc(2025, 11, 20, 10, 11, 12, 123000)),
        ("2025-11-20 10:11:12.123456-08", utc(2025, 11, 20, 18, 11, 12, 123456)),
        ("2025-11-20T10:11:12-0800", utc(2025, 11, 20, 18, 11, 12)),
        ("2025-11-20 10:11:12 UTC", utc(2025, 11, 20, 10, 11, 12)),
        ("2025-11-02T01:30:00.0000000", utc(2025, 11, 2, 8, 30)),  # that hour comes twice: the first of the two
        ("2024-01-01T00:00:00", NOW - timedelta(days=180)),
    ],
)
def test_a_time_is_read_however_it_was_written(text: str, read: datetime) -> None:
    assert read_watermark(text, NOW) == read


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "rubbish",
        "None",
        "2025-13-45T00:00:00",
        "2025-11-20T25:00:00",
        "2025-11-20T10:11:12+99:99",
        "1763632272",
        "20/11/2025",
        "9999-12-31T23:59:59",
        "0001-01-01T00:00:00Z+00:00",
        "\uff12\uff10\uff12\uff15-11-20",
        "2025-11-25T12:10:00Z",  # a time that has not come yet
        "2025-11-20T10:11:12; drop table orders_inbox",
    ],
)
def test_what_says_nothing_reads_as_two_weeks_ago(text: str | None) -> None:
    assert read_watermark(text, NOW) == TWO_WEEKS_AGO


def test_a_clock_that_is_a_little_ahead_of_ours_is_believed() -> None:
    assert read_watermark("2025-11-25T12:04:00Z", NOW) == NOW + timedelta(minutes=4)


def test_it_is_written_as_shipstation_writes_its_stamps() -> None:
    assert write_watermark(utc(2025, 11, 20, 18, 11, 12, 123000)) == "2025-11-20T10:11:12.1230000"
    assert write_watermark(utc(2025, 7, 20, 18, 11, 12)) == "2025-07-20T11:11:12.0000000"


@settings(max_examples=60)
@given(st.integers(0, 170 * 86400).map(lambda seconds: utc(2025, 6, 1) + timedelta(seconds=seconds)))
def test_what_was_written_is_never_read_as_later(instant: datetime) -> None:
    read = read_watermark(write_watermark(instant), NOW)
    assert read in (instant, instant - timedelta(hours=1)), "an hour earlier in the second pass of the repeated hour"
    assert write_watermark(read) == write_watermark(instant)


@settings(max_examples=60)
@given(st.text(max_size=40))
def test_no_text_is_too_strange(text: str) -> None:
    assert read_watermark(text, NOW) <= NOW + timedelta(minutes=5)
