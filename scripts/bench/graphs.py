"""The drawings of BENCHMARKS.md, each for a light and a dark page: docs/writers-*.svg and docs/latency-*.svg.

Written as SVG by hand: two kinds of drawing are less than what a library for all kinds would have to be told. Colour
says who it is; a broken line says that a listener drains a backlog beside the writers. Lines bear their names at their
ends.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from figures import percentile
from writers import BUDGET, DRAINING, NONE, SAME_DRAIN, STATEMENT, median_commits

FOLDER = Path(__file__).parents[2] / "docs"
WIDTH = 880
FONT = "system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif"


@dataclass(frozen=True)
class Theme:
    page: str
    ink: str
    muted: str
    grid: str
    neutral: str
    ours: str
    plain: str
    first_peer: str
    second_peer: str


THEMES = {
    "light": Theme("#ffffff", "#1f2328", "#59636e", "#e4e8ec", "#818b98", "#0969da", "#bc4c00", "#8250df", "#1a7f37"),
    "dark": Theme("#0d1117", "#f0f6fc", "#9198a1", "#262c36", "#848d97", "#4493f8", "#db6d28", "#ab7df8", "#3fb950"),
}


@dataclass
class Drawing:
    """Pieces of SVG on a page of one theme."""

    theme: Theme
    height: int
    pieces: list[str] = field(default_factory=list)

    def text(self, x: float, y: float, words: str, colour: str = "", anchor: str = "start", size: int = 12) -> None:
        self.pieces.append(
            f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour or self.theme.ink}" font-size="{size}"'
            f' text-anchor="{anchor}">{escape(words)}</text>'
        )

    def heading(self, x: float, y: float, words: str, below: str) -> None:
        style = f'fill="{self.theme.ink}" font-size="14" font-weight="600"'
        self.pieces.append(f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(words)}</text>')
        self.text(x, y + 17, below, self.theme.muted)

    def line(self, points: Sequence[tuple[float, float]], colour: str, width: float = 1, broken: bool = False) -> None:
        dashes = ' stroke-dasharray="5 4"' if broken else ""
        way = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.pieces.append(
            f'<polyline points="{way}" fill="none" stroke="{colour}" stroke-width="{width}" stroke-linejoin="round"'
            f' stroke-linecap="round"{dashes}/>'
        )

    def area(self, points: Sequence[tuple[float, float]], colour: str) -> None:
        way = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.pieces.append(
            f'<polygon points="{way}" fill="{colour}" fill-opacity="0.3" stroke="{colour}" stroke-width="1.2"/>'
        )

    def dot(self, x: float, y: float, colour: str) -> None:
        self.pieces.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>')

    def svg(self, title: str) -> str:
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {self.height}" role="img"'
                f' font-family="{FONT}"><title>{escape(title)}</title>',
                f'<rect width="{WIDTH}" height="{self.height}" fill="{self.theme.page}"/>',
                *self.pieces,
                "</svg>\n",
            ]
        )


def round_up(value: float) -> float:
    """Return the next value that an axis may end at."""
    power = 10 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if step * power >= value)


def apart(wanted: Sequence[float], gap: float, lowest: float) -> list[float]:
    """Move labels, given from top to bottom, so that none covers another and none sinks below `lowest`."""
    placed: list[float] = []
    for y in wanted:
        placed.append(max(y, placed[-1] + gap) if placed else y)
    for index in range(len(placed) - 1, -1, -1):
        bound = lowest if index == len(placed) - 1 else placed[index + 1] - gap
        placed[index] = min(placed[index], bound)
    return placed


TOP, BOTTOM = 66, 336
PANEL_WIDTH, LABELS_WIDTH = 250, 150


@dataclass(frozen=True)
class Line:
    """One variant of the writers, as it is drawn."""

    variant: str
    words: str
    colour: str
    broken: bool = False


def _lines(theme: Theme) -> list[Line]:
    return [
        Line(NONE, "no trigger", theme.neutral),
        Line(BUDGET, "listener", theme.ours),
        Line(SAME_DRAIN, "no trigger, drain", theme.neutral, broken=True),
        Line(DRAINING, "listener, draining", theme.ours, broken=True),
        Line(STATEMENT, "NOTIFY trigger", theme.plain),
        Line("procrastinate: enqueue", "procrastinate", theme.first_peer),
        Line("pgqueuer: enqueue", "pgqueuer", theme.second_peer),
    ]


def writers_drawing(figures: dict[str, Any], theme: Theme) -> str:
    drawing = Drawing(theme, BOTTOM + 54)
    for number, flush in enumerate(figures["flush"]):
        _writers_panel(drawing, figures, flush, left=52 + number * (WIDTH - 8) / 2)
    return drawing.svg("Commits a second by the number of writers")


def _writers_panel(drawing: Drawing, figures: dict[str, Any], flush: str, left: float) -> None:
    lines = [line for line in _lines(drawing.theme) if line.variant in figures["flush"][flush]]
    commits = {
        line.variant: [median_commits(figures, flush, line.variant, count) for count in figures["clients"]]
        for line in lines
    }
    most = round_up(max(max(values) for values in commits.values()))
    steps = len(figures["clients"]) - 1 or 1
    xs = [left + PANEL_WIDTH * index / steps for index in range(len(figures["clients"]))]

    def y_of(value: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * value / most

    drawing.heading(left - 44, 22, f"Commits a second, {flush}", "by the number of writers; medians")
    for share in (0, 0.25, 0.5, 0.75, 1):
        y = y_of(most * share)
        drawing.line([(left, y), (left + PANEL_WIDTH, y)], drawing.theme.grid)
        drawing.text(left - 8, y + 4, f"{most * share:,.0f}", drawing.theme.muted, "end", 11)
    for x, clients in zip(xs, figures["clients"], strict=True):
        drawing.text(x, BOTTOM + 18, str(clients), drawing.theme.muted, "middle", 11)
    drawing.text(left + PANEL_WIDTH / 2, BOTTOM + 36, "writers", drawing.theme.muted, "middle", 11)
    for line in lines:
        points = [(x, y_of(value)) for x, value in zip(xs, commits[line.variant], strict=True)]
        drawing.line(points, line.colour, 2, line.broken)
        for x, y in points:
            drawing.dot(x, y, line.colour)
    ordered = sorted(lines, key=lambda line: -commits[line.variant][-1])
    wanted = [y_of(commits[line.variant][-1]) + 4 for line in ordered]
    for line, y in zip(ordered, apart(wanted, 15, BOTTOM + 4), strict=True):
        drawing.text(left + PANEL_WIDTH + 10, y, line.words, line.colour)


ROW_HEIGHT, NAMES_WIDTH, HILL_HEIGHT = 62, 160, 40
BINS = 240


@dataclass(frozen=True)
class Axis:
    """Milliseconds from left to right, up to `longest`, with a mark at each step."""

    longest: float
    step: float

    def x_of(self, ms: float) -> float:
        return NAMES_WIDTH + ms * (WIDTH - NAMES_WIDTH - 24) / self.longest


def axis_for(waits: Mapping[str, Sequence[float]]) -> Axis:
    """Return an axis that ends where the longest p99 does, but not so late that a few samples press the others flat."""
    slowest = max(statistics.median(values) for values in waits.values())
    wanted = min(max(percentile(values, 99) for values in waits.values()) * 1.05, 3 * slowest)
    step = next(step for step in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 1000) if wanted / step <= 10)
    return Axis(math.ceil(wanted / step) * step, step)


def latency_drawing(figures: dict[str, Any], theme: Theme) -> str:
    flush, waits = next(iter(figures["ms"].items()))
    colours = {"listener": theme.ours, "procrastinate": theme.first_peer, "pgqueuer": theme.second_peer}
    axis, bottom = axis_for(waits), TOP + ROW_HEIGHT * len(waits)
    drawing = Drawing(theme, bottom + 32)
    below = f"idle before, {figures['samples']:,} samples each in turn, {flush}; milliseconds from COMMIT"
    drawing.heading(8, 22, "How soon work begins", below)
    for mark in range(round(axis.longest / axis.step) + 1):
        ms = mark * axis.step
        drawing.line([(axis.x_of(ms), TOP - 8), (axis.x_of(ms), bottom)], theme.grid)
        drawing.text(axis.x_of(ms), bottom + 18, f"{ms:g} ms", theme.muted, "middle", 11)
    for number, (name, values) in enumerate(waits.items()):
        who, _, what = name.partition(": ")
        base = TOP + ROW_HEIGHT * (number + 1)
        drawing.text(8, base - 20, who, colours[who], size=13)
        drawing.text(8, base - 4, what, theme.muted, size=11)
        _hill(drawing, values, colours[who], base, axis)
    return drawing.svg("How soon work begins after COMMIT")


def _hill(drawing: Drawing, values: Sequence[float], colour: str, base: float, axis: Axis) -> None:
    """Draw how the samples are spread, with a line at the median."""
    shares = density(values, axis.longest)
    hill = [
        (axis.x_of(index * axis.longest / BINS), base - HILL_HEIGHT * share / max(shares))
        for index, share in enumerate(shares)
    ]
    drawing.area([(axis.x_of(0), base), *hill, (axis.x_of(axis.longest), base)], colour)
    median = statistics.median(values)
    drawing.line([(axis.x_of(median), base), (axis.x_of(median), base - HILL_HEIGHT - 6)], colour, 2)
    words = f"p50 {median:.2f}, p99 {percentile(values, 99):.2f}"
    late = sum(value > axis.longest for value in values) / len(values)
    drawing.text(axis.x_of(median) + 6, base - HILL_HEIGHT - 1, words, colour)
    if late:
        drawing.text(axis.x_of(axis.longest), base - 6, f"{late:.1%} later", drawing.theme.muted, "end", 11)


def density(values: Sequence[float], longest: float) -> list[float]:
    """Return the samples counted along the axis, smoothed over a hundredth of it."""
    counts = [0.0] * (BINS + 1)
    for value in values:
        if 0 <= value <= longest:
            counts[round(value * BINS / longest)] += 1
    weights = {step: math.exp(-((step / 2.4) ** 2) / 2) for step in range(-7, 8)}
    return [
        sum(weight * counts[index + step] for step, weight in weights.items() if 0 <= index + step < len(counts))
        for index in range(len(counts))
    ]


def drawings(figures: Mapping[str, dict[str, Any]]) -> dict[Path, str]:
    """Return the drawings of those scenarios of which there are figures, by the files they belong into."""
    makers = {"writers": writers_drawing, "latency": latency_drawing}
    return {
        FOLDER / f"{name}-{theme}.svg": make(figures[name], THEMES[theme])
        for name, make in makers.items()
        for theme in THEMES
        if name in figures
    }
