"""The verdict of a soak: what it takes for flat, and what for growing."""

from dataclasses import replace

import pytest

from tests.soak.sample import Sample, Table
from tests.soak.verdict import Finding, judge

MINUTES = 40
WELL = Sample(
    minute=0,
    fault="nothing",
    pid=1,
    age=0,
    memory=60.0,
    descriptors=15,
    threads=7,
    connections=3,
    tables={"listener.budget": Table(57_344, 1, 20), "listener.ledger": Table(16_384, 0, 0)},
    written=0,
    done=0,
)


def run(**grows: float) -> list[Sample]:
    """A run in which the process was killed half-way, and what is named grows by so much a minute."""
    half = MINUTES // 2
    return [
        replace(
            WELL,
            minute=minute,
            pid=1 + minute // half,
            age=minute % half,
            memory=WELL.memory + grows.get("memory", 0) * (minute % half),
            descriptors=WELL.descriptors + int(grows.get("descriptors", 0) * minute),
            tables={
                "listener.budget": Table(57_344 + int(grows.get("bloat", 0) * minute), 1, 20),
                "listener.ledger": Table(16_384 + 500 * minute * 50, minute * 50, 10),
            },
        )
        for minute in range(MINUTES)
    ]


def growing(samples: list[Sample]) -> list[str]:
    return [finding.name for finding in judge(samples) if not finding.flat]


def test_a_table_that_grows_with_its_rows_is_flat() -> None:
    assert growing(run()) == []


@pytest.mark.parametrize(
    ("grows", "name"),
    [
        ({"descriptors": 0.2}, "descriptors"),
        ({"bloat": 20_000}, "listener.budget, kB (1 rows)"),
        ({"memory": 0.6}, "memory of process 1, 8 minutes, MB"),
    ],
)
def test_what_grows_is_named(grows: dict[str, float], name: str) -> None:
    assert name in growing(run(**grows))


def test_memory_that_a_process_takes_in_its_first_minutes_is_none_of_it() -> None:
    samples = [replace(sample, memory=50.0 if sample.age < 12 else 60.0) for sample in run()]
    assert growing(samples) == []


def test_a_line_says_what_it_was_has_become_and_may_be() -> None:
    line = Finding("threads", 7, 30, 9).line()
    assert line.split() == ["GROWS", "threads", "7.0", "->", "30.0", "(at", "most", "9.0)"]
