"""How a bar looks, at 40 columns and at 120."""

from io import BytesIO, TextIOWrapper

import pytest

from listener.cli.bars_view import Row, View
from listener.headway import Headway, Pace

FILE = Headway("orders.xml, read", 24_000_000, 48_000_000, "bytes", "")
MIRROR = Headway("mirror of ShipStation", 500, 1200, "orders", "")
LABELS = Headway("labels", 4500, None, "orders", "")


def going(headway: Headway, a_second: int, seconds: int = 10) -> Row:
    pace = Pace()
    pace.note(headway.done - a_second * seconds, 0)
    pace.note(headway.done, seconds)
    return headway, 0.0, pace


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("COLORTERM", "NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)


def drawn(
    monkeypatch: pytest.MonkeyPatch, columns: int, *rows: tuple[Headway, float, Pace], now: float = 10
) -> list[str]:
    monkeypatch.setenv("NO_COLOR", "1")
    lines = View(TextIOWrapper(BytesIO(), "utf-8")).lines(rows, now, columns)
    assert all(line.cells == columns - 1 for line in lines)
    return [line.text.replace("\x1b[1m", "").replace("\x1b[2m", "").replace("\x1b[0m", "").rstrip() for line in lines]


def test_at_80_columns_it_has_share_speed_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    (line,) = drawn(monkeypatch, 80, going(FILE, 2_000_000))
    assert line.startswith("orders.xml, read ━━━")
    assert line.endswith(" 50 % 2.0 MB/s 0:12 left")
    assert len(line) == 79


def test_at_120_columns_it_has_the_figures_too(monkeypatch: pytest.MonkeyPatch) -> None:
    (line,) = drawn(monkeypatch, 120, going(MIRROR, 40))
    assert line.endswith(" 41 % 500 orders of 1,200 orders 40 orders/s 0:18 left")


def test_at_40_columns_it_has_what_matters(monkeypatch: pytest.MonkeyPatch) -> None:
    (line,) = drawn(monkeypatch, 40, going(MIRROR, 40))
    assert line.startswith("mirror of Sh… ━━━")
    assert line.endswith(" 41 % 0:18 left")
    assert len(line) == 39


def test_no_width_is_too_small_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for columns in range(2, 60):
        assert len(drawn(monkeypatch, columns, going(MIRROR, 40), going(LABELS, 9))) == 2


def test_without_a_total_it_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    (line,) = drawn(monkeypatch, 80, going(LABELS, 9))
    assert line.split() == ["labels", "4,500", "orders", "9", "orders/s", "0:10"]


def test_what_can_only_be_waited_for_is_named_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    (line,) = drawn(monkeypatch, 40, (Headway("waiting for the database"), 0.0, Pace()))
    assert line.split("  ")[0] == "waiting for the database"
    assert line.endswith(" 0:10")


def test_what_has_no_speed_says_how_long_it_has_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    (line,) = drawn(monkeypatch, 80, going(Headway("looking at locks", 6, 30), 1, 5))
    assert line.startswith("looking at locks ━━")
    assert line.endswith(" 20 %  0:10")


def test_what_is_slow_is_told_by_the_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    pace = Pace()
    pace.note(0, 0)
    pace.note(500, 1000)
    (line,) = drawn(monkeypatch, 80, (MIRROR, 0.0, pace), now=1000)
    assert line.endswith(" 41 % 30 orders/min 23:20 left")


def test_hours_are_told_as_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    (line,) = drawn(monkeypatch, 80, (LABELS, 0.0, Pace()), now=7325)
    assert line.endswith(" 2:02:05")


def test_a_name_is_shown_and_not_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    (line,) = drawn(monkeypatch, 80, going(Headway("[red]a\x1b[2J.xml", 1, 2, "orders", ""), 0))
    assert line.startswith("[red]a\\x1b[2J.xml ━")


def test_a_terminal_without_the_signs_gets_others(monkeypatch: pytest.MonkeyPatch) -> None:
    (line,) = View(TextIOWrapper(BytesIO(), "ascii")).lines([going(MIRROR, 40)], 10, 80)
    assert "---" in line.text
    assert "━" not in line.text


def test_in_colour_the_bar_has_one() -> None:
    (line,) = View(TextIOWrapper(BytesIO(), "utf-8")).lines([going(MIRROR, 40)], 10, 80)
    assert "\x1b[36m━" in line.text
