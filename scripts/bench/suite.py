"""All benchmarks in one run: tables of medians, spreads and ratios, and the goals that they are held against.

    scripts/bench/run [SCENARIO ...] [--quick | --full] [--no-peers] [--json FILE]

Each scenario starts what it needs itself: a Postgres, simulators, `listener run` as a process, and the peers, which are
installed into .venv-peers on first use. What is compared runs in turn, in the same run, on the same machine. --quick
takes a few minutes, the run as it is a quarter of an hour, and --full has the sizes that take longer than that.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import config
import latency
import machine
from figures import Table, print_tables

Result = dict[str, Any]


@dataclass(frozen=True)
class Scenario:
    """One question. `sizes`: what `measure` is given for --quick, for neither, and for --full."""

    question: str
    measure: Callable[..., Result]
    tables: Callable[[Result], Sequence[Table]]
    sizes: dict[str, Result]
    beside_peers: bool = False


SCENARIOS: dict[str, Scenario] = {
    "latency": Scenario(
        "COMMIT to work begun, beside the peers",
        latency.measure,
        latency.tables,
        {"quick": {"samples": 200}, "usual": {"samples": 1000}, "full": {"samples": 1000}},
        beside_peers=True,
    ),
    "config": Scenario(
        "COMMIT of a setting to its being in force, while uploads hang",
        config.measure,
        config.tables,
        {
            "quick": {"changes": 200, "rollbacks": 20},
            "usual": {"changes": 1000, "rollbacks": 100},
            "full": {"changes": 1000, "rollbacks": 100},
        },
    ),
}


def run(name: str, size: str, with_peers: bool) -> Result:
    """Run one scenario; return its figures with what they were taken on."""
    scenario = SCENARIOS[name]
    more = {"with_peers": with_peers} if scenario.beside_peers else {}
    settings = scenario.sizes[size]
    before = machine.describe()
    return {"machine": before, "size": size, "settings": settings, "figures": scenario.measure(**settings, **more)}


def show(name: str, result: Result) -> None:
    print(f"\n== {name}: {SCENARIOS[name].question}\n   {machine.in_words(result['machine'])}\n")
    print_tables(SCENARIOS[name].tables(result["figures"]))
    sys.stdout.flush()


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "scripts/bench/run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scenario", nargs="*", help=f"of {', '.join(SCENARIOS)}; all unless some are named")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", dest="size", action="store_const", const="quick", default="usual")
    size.add_argument("--full", dest="size", action="store_const", const="full")
    parser.add_argument("--no-peers", dest="peers", action="store_false")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there as well")
    options = parser.parse_args(arguments)
    if unknown := set(options.scenario) - set(SCENARIOS):
        parser.error(f"no scenario {', '.join(sorted(unknown))}")
    return options


def main() -> None:
    options = parse(sys.argv[1:])
    results: dict[str, Result] = {}
    for name in options.scenario or SCENARIOS:
        results[name] = run(name, options.size, options.peers)
        show(name, results[name])
    if options.json:
        options.json.write_text(json.dumps(results) + "\n")


if __name__ == "__main__":
    main()
