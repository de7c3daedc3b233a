"""Every fault on purpose, for as long as you like: prints what was lost, made twice, and how soon orders flowed again.

    scripts/chaos --minutes 30 [--seed 7] [--json run.json] [--publish]
    scripts/chaos --seed 7 --first 41 --rounds 1        a round that has failed, again
    scripts/chaos --kind 'Postgres: crash' --rounds 20  one kind alone
    scripts/chaos --read run.json --publish             the figures of an earlier run

Ends with 1 when something was lost, made twice, or left behind.
"""

import argparse
import json
import os
import platform
import random
import signal
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.chaos.kinds import KINDS, Kind
from tests.chaos.run import Round, Run
from tests.chaos.table import (
    Line,
    as_markdown,
    as_text,
    lines_as_json,
    lines_of,
    notes_as_json,
    notes_as_markdown,
    publish,
)
from tests.chaos.world import World

PAPER = Path(__file__).parents[2] / "RELIABILITY.md"


def main() -> int:
    options = _options()
    if options.read:
        return _report(options, json.loads(options.read.read_text()))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    for name in [name for name in os.environ if name.startswith("PG")]:
        del os.environ[name]
    kinds, skipped = _possible(options.kind)
    print(f"--seed {options.seed}: {len(kinds)} kinds of faults", *skipped, sep="\n", flush=True)
    began = time.monotonic()
    with World() as world:
        tell = lambda this: _tell(this, time.monotonic() - began)  # noqa: E731
        run = Run(world, kinds, options.seed, tell, show_logs=options.logs)
        number = options.first
        while not _is_over(options, number, began):
            run.play(number)
            number += 1
        return _end(options, run, world, skipped, time.monotonic() - began)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "scripts/chaos", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--first", type=int, default=0, help="the number of the first round")
    parser.add_argument("--rounds", type=int, help="how many rounds, however long they take")
    parser.add_argument("--kind", default="", help="only kinds whose name has this in it")
    parser.add_argument("--logs", action="store_true", help="show the listener's log of every round")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--read", type=Path, help="run nothing: take the figures of this file")
    parser.add_argument("--publish", action="store_true", help=f"write the table into {PAPER.name}")
    return parser.parse_args()


def _possible(wanted: str) -> tuple[list[Kind], list[str]]:
    """Return the kinds that can be made here, and for each other one why not."""
    chosen = [kind for kind in KINDS if wanted in kind.name]
    if not chosen:
        sys.exit(f"no kind has {wanted!r} in its name; there are:\n" + "\n".join(kind.name for kind in KINDS))
    reasons = {kind.name: kind.why_not() for kind in chosen}
    skipped = [f"skipped: {name}, which {reason}" for name, reason in reasons.items() if reason]
    return [kind for kind in chosen if not reasons[kind.name]], skipped


def _is_over(options: argparse.Namespace, number: int, began: float) -> bool:
    if options.rounds is not None:
        return bool(number >= options.first + options.rounds)
    return bool(time.monotonic() - began > options.minutes * 60)


def _tell(this: Round, passed: float) -> None:
    recovered = "never" if this.recovered is None else f"{this.recovered:6.2f} s"
    verdict = "FAILED" if this.failed else "ok"
    text = f"{passed:7.1f} s  #{this.number:<4} {this.kind:62} {recovered}  {this.orders:4} orders  {verdict}"
    print(text + (f"  eased {this.eased}" if this.eased else ""), flush=True)
    for fault in (*(f"lost: {n}" for n in this.lost), *(f"twice: {n}" for n in this.twice), *this.wrong):
        print(f"    {fault}", flush=True)


def _end(options: argparse.Namespace, run: Run, world: World, skipped: Sequence[str], lasted: float) -> int:
    everything = run.watch.judge_all()
    result: dict[str, Any] = {
        "seed": options.seed,
        "ended_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "minutes": round(lasted / 60, 1),
        "postgres": world.server.major,
        "system": f"{platform.system()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "orders": everything.orders,
        "lost": everything.lost,
        "twice": everything.twice,
        "wrong": everything.wrong,
        "faults": len(run.rounds),
        "failed_rounds": [this.number for this in run.rounds if this.failed],
        "grown": {"kilobytes": run.watch.growth.kilobytes, "descriptors": run.watch.growth.descriptors},
        "skipped": list(skipped),
        "kinds": lines_as_json(lines_of(run.rounds)),
        "noticed": notes_as_json(world.notes),
        "rounds": [this.as_json() for this in run.rounds],
    }
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    return _report(options, result)


def _report(options: argparse.Namespace, result: dict[str, Any]) -> int:
    """Print the figures of a run, and publish them if told to; return the exit code."""
    lines, noticed = [Line(**line) for line in result["kinds"]], result["noticed"]
    print("", as_text(lines), "", *(f"{words}: {figures}" for words, figures in noticed.items()), sep="\n")
    print(_summary(result))
    for number in result["failed_rounds"]:
        print(f"again: scripts/chaos --seed {result['seed']} --first {number} --rounds 1")
    if options.publish:
        publish(PAPER, f"{_summary(result)}\n\n{as_markdown(lines)}\n\n{notes_as_markdown(noticed)}")
    return int(any(result[kind] for kind in ("failed_rounds", "lost", "twice", "wrong")))


def _summary(result: dict[str, Any]) -> str:
    lost, twice, failed = len(result["lost"]), len(result["twice"]), len(result["failed_rounds"])
    kinds = len(result["kinds"]) - 1
    return (
        f"{result['faults']} faults of {kinds} kinds in {result['minutes']} minutes, {result['orders']} orders: "
        f"{lost} lost, {twice} made twice, {failed} rounds failed. Seed {result['seed']}, Postgres "
        f"{result['postgres']}, {result['system']}; a process that lived on grew by {result['grown']['kilobytes']} kB "
        f"and {result['grown']['descriptors']} descriptors at most."
    )


if __name__ == "__main__":
    sys.exit(main())
