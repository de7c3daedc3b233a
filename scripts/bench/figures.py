"""What the benchmarks make of their samples: percentiles, spreads, and tables as text and as markdown. Pure."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


def percentile(values: Sequence[float], percent: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * percent / 100))]


def spread(values: Sequence[float], form: str = ",.0f") -> str:
    """Return the median, and the least and the most beside it when there are several."""
    median = format(statistics.median(values), form)
    return median if len(values) == 1 else f"{median} ({min(values):{form}} - {max(values):{form}})"


@dataclass(frozen=True)
class Table:
    """Rows of words under a header; the first column names the row, the others are numbers."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    def text(self) -> str:
        lines = [self.header, *self.rows]
        first, *widths = [max(len(line[column]) for line in lines) for column in range(len(self.header))]
        aligned = ["  ".join([line[0].ljust(first), *map(str.rjust, line[1:], widths)]) for line in lines]
        return "\n".join([self.title, *aligned])

    def markdown(self) -> str:
        marks = ["---"] + ["---:"] * (len(self.header) - 1)
        lines = ["| " + " | ".join(line) + " |" for line in (self.header, marks, *self.rows)]
        return "\n".join([f"**{self.title}**", "", *lines])


def print_tables(tables: Sequence[Table]) -> None:
    print("\n\n".join(table.text() for table in tables))
