"""What a chaos run has shown, as figures: a line for each kind of fault."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.chaos.run import Round

BEGIN, END = "<!-- chaos: from here -->", "<!-- chaos: to here -->"


@dataclass(frozen=True)
class Line:
    """A kind of fault. Times are seconds; `eased` counts runs in which waits were cut short."""

    kind: str
    runs: int
    lost: int
    twice: int
    p50: float | None
    p99: float | None
    longest: float | None
    eased: int


def percentile(values: Sequence[float], percent: float) -> float | None:
    """Return the percentile by nearest rank; None of nothing."""
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)] if values else None


def lines_of(rounds: Iterable[Round]) -> list[Line]:
    """Return a line a kind, by name, and one of all together at the end."""
    rounds = list(rounds)
    names = sorted({each.kind for each in rounds})
    groups = [(name, [each for each in rounds if each.kind == name]) for name in names]
    return [_line(name, group) for name, group in [*groups, ("all", rounds)]]


def _line(name: str, rounds: Sequence[Round]) -> Line:
    times = [each.recovered for each in rounds if each.recovered is not None]
    return Line(
        kind=name,
        runs=len(rounds),
        lost=sum(len(each.lost) for each in rounds),
        twice=sum(len(each.twice) for each in rounds),
        p50=percentile(times, 50),
        p99=percentile(times, 99),
        longest=max(times, default=None),
        eased=sum(each.eased > 0 for each in rounds),
    )


def as_text(lines: Sequence[Line]) -> str:
    """Return the table for a terminal."""
    width = max(len(line.kind) for line in lines)
    head = f"{'fault':{width}}  runs  lost  twice    p50 s    p99 s    max s  eased"
    return "\n".join([head, *(_text(line, width) for line in lines)])


def _text(line: Line, width: int) -> str:
    times = "".join(f"{_seconds(value):>9}" for value in (line.p50, line.p99, line.longest))
    return f"{line.kind:{width}}  {line.runs:4}  {line.lost:4}  {line.twice:5}{times}  {line.eased:5}"


def as_markdown(lines: Sequence[Line]) -> str:
    """Return the table for a paper."""
    rows = [
        "| fault | runs | lost | twice | recovery p50 | p99 | longest | eased |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for line in lines:
        times = " | ".join(f"{_seconds(value)} s" for value in (line.p50, line.p99, line.longest))
        rows.append(f"| {line.kind} | {line.runs} | {line.lost} | {line.twice} | {times} | {line.eased} |")
    return "\n".join(rows)


def notes_as_json(notes: Mapping[str, Sequence[float]]) -> dict[str, dict[str, float | int | None]]:
    """Return what was timed on the way, by its words."""
    return {
        words: {"n": len(times), "p50": percentile(times, 50), "longest": max(times)}
        for words, times in sorted(notes.items())
    }


def notes_as_markdown(notes: Mapping[str, Mapping[str, float | int | None]]) -> str:
    rows = ["| noticed | times | p50 | longest |", "|---|--:|--:|--:|"]
    for words, figures in notes.items():
        rows.append(f"| {words} | {figures['n']} | {_seconds(figures['p50'])} s | {_seconds(figures['longest'])} s |")
    return "\n".join(rows)


def lines_as_json(lines: Iterable[Line]) -> list[dict[str, object]]:
    return [asdict(line) for line in lines]


def publish(paper: Path, text: str) -> None:
    """Put `text` between the marks of a paper. Raises ValueError where they are missing."""
    before, begin, rest = paper.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{paper} has no lines {BEGIN} and {END}")
    paper.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


def _seconds(value: float | int | None) -> str:
    return "-" if value is None else f"{value:.2f}"
