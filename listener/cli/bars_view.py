"""How a bar looks: with everything where there is room, and at 40 columns with what matters. Texts are never markup."""

from collections.abc import Sequence
from typing import TextIO

from rich.console import Console, RenderableType
from rich.filesize import decimal
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from listener.cli.live import Line
from listener.headway import Headway, Pace
from listener.log import escape

NARROW, WIDE = 60, 110
"""Columns: below the first there is no room for the speed, from the second on there is for the figures, too."""

Row = tuple[Headway, float, Pace]
"""What is shown, since when, and how fast it goes."""


class View:
    """Draws for one terminal. NO_COLOR and what TERM says of colours is rich's to obey."""

    def __init__(self, stream: TextIO) -> None:
        self._console = Console(file=stream, force_terminal=True, highlight=False)

    def lines(self, rows: Sequence[Row], now: float, columns: int) -> list[Line]:
        """Return a line for each. The last column stays free: not every terminal would break the line behind it."""
        width = max(1, columns - 1)
        grid = Table.grid(padding=(0, 1), expand=True)
        alone = all(headway.total is None and not headway.done for headway, _, _ in rows)
        grid.add_column(no_wrap=True, max_width=None if alone else max(10, width // 3))
        grid.add_column(ratio=1, no_wrap=True)
        for row in rows:
            task, middle, *figures = _cells(*row, now, columns)
            grid.add_row(task, middle, *figures)
        for column in grid.columns[2:]:
            column.justify, column.no_wrap = "right", True
        with self._console.capture() as drawn:
            self._console.print(grid, width=width)
        return [Line(text, width) for text in drawn.get().splitlines()]


def _cells(headway: Headway, since: float, pace: Pace, now: float, columns: int) -> list[RenderableType]:
    """Return the task, its bar (or what has been counted where there can be none), and the figures behind it."""
    done, total, unit = headway.done, headway.total, headway.unit
    speed = pace.a_second(now) if unit else None
    percent, time = "", _clock(now - since)
    if total is None:
        middle: RenderableType = Text(_amount(done, unit) if done else "", style="dim")
    else:
        middle = ProgressBar(total=max(total, 1), completed=done, complete_style="cyan", finished_style="cyan")
        percent = f"{100 * done // max(total, 1)} %"
        if unit:
            left = pace.seconds_left(total, now)
            time = "" if left is None else f"{_clock(left)} left"
    cells = [Text(escape(headway.task), overflow="ellipsis"), middle, Text(percent, style="bold")]
    if columns >= WIDE:
        figures = total is not None and unit
        cells.append(Text(f"{_amount(done, unit)} of {_amount(total or 0, unit)}" if figures else ""))
    if columns >= NARROW:
        cells.append(Text(_speed(speed, unit) if speed else "", style="dim"))
    return [*cells, Text(time)]


def _amount(n: int, unit: str) -> str:
    return decimal(n) if unit == "bytes" else f"{n:,} {unit}"


def _speed(a_second: float, unit: str) -> str:
    if unit == "bytes":
        return f"{decimal(int(a_second))}/s"
    if a_second < 1:
        return f"{60 * a_second:.0f} {unit}/min"
    return f"{a_second:,.0f} {unit}/s"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
