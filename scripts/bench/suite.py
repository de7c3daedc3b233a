"""All benchmarks in one run: tables of medians, spreads and ratios, and the goals that they are held against.

    scripts/bench/run [SCENARIO ...] [--quick | --full] [--no-peers] [--json FILE] [--publish]

Each scenario starts what it needs itself: a Postgres, simulators, `listener run` as a process, and the peers, which are
installed into .venv-peers on first use. What is compared runs in turn, in the same run, on the same machine. --quick
takes some five minutes, the run as it is a quarter of an hour, and --full an hour and 12 GB of disk. --publish keeps
the figures in docs/benchmarks/, and makes the tables and drawings of BENCHMARKS.md anew.

scenarios:
"""

import argparse
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import machine
import report
from figures import print_tables
from goals import verdicts
from scenarios import SCENARIOS, Result, run, tables

DESCRIPTION = (__doc__ or "") + "\n".join(f"  {name:10}{one.question}" for name, one in SCENARIOS.items())


def show(result: Result) -> None:
    name = result["scenario"]
    print(f"\n== {name}: {SCENARIOS[name].question}\n   {machine.in_words(result['machine'])}\n")
    print_tables(tables(result))
    sys.stdout.flush()


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "scripts/bench/run", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scenario", nargs="*", help="all of them unless some are named")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", dest="size", action="store_const", const="quick", default="usual")
    size.add_argument("--full", dest="size", action="store_const", const="full")
    parser.add_argument("--no-peers", dest="peers", action="store_false")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there as well")
    parser.add_argument("--publish", action="store_true")
    options = parser.parse_args(arguments)
    if unknown := set(options.scenario) - set(SCENARIOS):
        parser.error(f"there is no scenario {', '.join(sorted(unknown))}")
    if options.publish and (options.size == "quick" or not options.peers):
        parser.error("what is published is neither --quick nor without peers")
    return options


def main() -> None:
    options = parse(sys.argv[1:])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started ends with it
    results = []
    for name in options.scenario or SCENARIOS:
        results.append(run(name, options.size, options.peers))
        show(results[-1])
        if options.publish:
            report.publish(results[-1])
    print()
    print_tables([verdicts({result["scenario"]: result["figures"] for result in results})])
    if options.json:
        options.json.write_text(json.dumps(results) + "\n")


if __name__ == "__main__":
    main()
