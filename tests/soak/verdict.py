"""Flat or not: the last quarter of a run against its second one, which is past the start. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import linear_regression, median

from tests.soak.sample import Sample

WARM_AFTER_MINUTES = 12
"""By then the sync's window, the page's lists and the allocator have the size that they keep."""

SHORTEST_LIFE_MINUTES = 6
MEMORY_MAY_GROW_BY = 3.0
"""MB, in the life of a process: an allocator's noise is about one."""

SLACK_BYTES = 128 * 1024
"""A table of a few pages, with its indexes, may take some more while a vacuum is due."""


@dataclass(frozen=True)
class Finding:
    """One thing that may not grow: what it was, what it has become, and what it may be at most."""

    name: str
    before: float
    after: float
    limit: float

    @property
    def flat(self) -> bool:
        return self.after <= self.limit

    def line(self) -> str:
        verdict = "flat" if self.flat else "GROWS"
        return f"{verdict:6} {self.name:44} {self.before:12.1f} -> {self.after:12.1f}   (at most {self.limit:.1f})"


def judge(samples: Sequence[Sample]) -> list[Finding]:
    """Return a finding for each thing that may not grow; a run of eight minutes at least has four quarters."""
    quarter = len(samples) // 4
    second, last = samples[quarter : 2 * quarter], samples[-quarter:]
    findings = [_level("memory, MB", *_both(second, last, "memory"), allow=MEMORY_MAY_GROW_BY)]
    for name in ("descriptors", "threads", "connections"):
        findings.append(_level(name, *_both(second, last, name), allow=2))
    for pid, life in groupby(samples, key=lambda sample: sample.pid):
        findings += _life(pid, [sample for sample in life if sample.age >= WARM_AFTER_MINUTES])
    for name in last[-1].tables:
        findings += _table(name, second, last)
    return findings


def _both(second: Sequence[Sample], last: Sequence[Sample], name: str) -> tuple[float, float]:
    before, after = (median(float(getattr(sample, name)) for sample in part) for part in (second, last))
    return before, after


def _level(name: str, before: float, after: float, *, allow: float) -> Finding:
    return Finding(name, before, after, before + allow)


def _life(pid: int, samples: Sequence[Sample]) -> list[Finding]:
    """What the process itself has grown by, along the straight line that fits best."""
    if len(samples) < SHORTEST_LIFE_MINUTES:
        return []
    fit = linear_regression([sample.age for sample in samples], [sample.memory for sample in samples])
    first, last = (fit.intercept + fit.slope * sample.age for sample in (samples[0], samples[-1]))
    name = f"memory of process {pid}, {len(samples)} minutes, MB"
    return [_level(name, first, last, allow=MEMORY_MAY_GROW_BY)]


def _table(name: str, second: Sequence[Sample], last: Sequence[Sample]) -> list[Finding]:
    """A table may grow with its rows, and not by more; where they stay as many, not at all."""
    before, after = (max((s.tables[name] for s in part), key=lambda table: table.size) for part in (second, last))
    rows = max(1, after.rows)
    expected = before.size * max(1.0, rows / max(1, before.rows))
    return [Finding(f"{name}, kB ({after.rows} rows)", before.size / 1e3, after.size / 1e3, _kb(1.25 * expected))]


def _kb(size: float) -> float:
    return (size + SLACK_BYTES) / 1e3
