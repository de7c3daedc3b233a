"""Run everything at 50 orders a minute, break something each minute, and judge whether anything grows.

    scripts/soak [--hours 8 | --minutes 40]

Prints a line a minute and a verdict; ends with 1 when something grows, an order was lost or is at ShipStation twice,
or the listener has logged an ERROR. A kill of the listener is one of the faults, every 20 minutes, in a run of more
than 80 minutes three times in all. Everything shares this machine, a Linux, and is removed at the end.
"""

import argparse
import sys
import time
from itertools import cycle

import psycopg

from tests.soak.faults import FAULTS, pause
from tests.soak.sample import Sample, take_sample
from tests.soak.verdict import judge
from tests.soak.world import World

FEWEST_MINUTES = 8
SHORTEST_LIFE = 20
KILL = "the listener is killed"


def soak(minutes: int) -> bool:
    """Run for so long; return whether all was well."""
    samples: list[Sample] = []
    life = max(SHORTEST_LIFE, minutes // 4)
    turns = cycle(FAULTS)
    print(Sample.HEAD, flush=True)
    with World() as world:
        began = 0
        for minute in range(1, minutes + 1):
            ends_at = time.monotonic() + 60
            fault = KILL if minute % life == 0 and minute < minutes else next(turns)
            if fault == KILL:
                world.kill_and_start()
                began = minute
            else:
                FAULTS[fault](world)
            pause(max(0.0, ends_at - time.monotonic()))
            with psycopg.connect(world.url, autocommit=True) as db:
                sample = take_sample(
                    db, world.listener.pid, minute=minute, fault=fault, age=minute - began, written=len(world.written)
                )
            samples.append(sample)
            print(sample.line(), flush=True)
        world.finish(within=900)
        return _tell(samples, *world.lost_and_twice(), world.errors, len(world.written))


def _tell(samples: list[Sample], lost: set[str], twice: set[str], errors: list[str], written: int) -> bool:
    findings = judge(samples)
    print(*(finding.line() for finding in findings), sep="\n")
    print(f"{written} orders, {len(lost)} lost, {len(twice)} twice, {len(errors)} errors in the log")
    print(*sorted(lost)[:20], *sorted(twice)[:20], *errors[:20], sep="\n")
    well = all(finding.flat for finding in findings) and not (lost or twice or errors)
    print("flat, and each order once" if well else "NOT WELL")
    return well


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="scripts/soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hours", type=float, default=8.0)
    parser.add_argument("--minutes", type=int, default=None, help="instead of hours, for a short run")
    options = parser.parse_args()
    minutes = round(options.hours * 60) if options.minutes is None else options.minutes
    if minutes < FEWEST_MINUTES:
        parser.error(f"{FEWEST_MINUTES} minutes at least: a verdict compares quarters of the run")
    sys.exit(0 if soak(minutes) else 1)


if __name__ == "__main__":
    main()
