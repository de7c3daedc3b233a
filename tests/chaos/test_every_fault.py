"""A short chaos run: some faults, drawn by the seed. `scripts/chaos` draws from all, for as long as you like."""

import time

from tests.chaos.kinds import KINDS
from tests.chaos.run import Round, Run
from tests.chaos.world import World


def test_whatever_fails_each_order_arrives_once_and_all_comes_to_rest(seed: int, chaos_seconds: float) -> None:
    kinds = [kind for kind in KINDS if not kind.slow and not kind.why_not()]
    failed: list[Round] = []
    with World() as world:
        run = Run(world, kinds, seed, lambda this: failed.append(this) if this.failed else None)
        end = time.monotonic() + chaos_seconds
        while time.monotonic() < end:
            run.play(len(run.rounds))
        everything = run.watch.judge_all()
    print(*(f"{this.kind}: {this.recovered}" for this in run.rounds), sep="\n")
    assert failed == []
    assert (everything.lost, everything.twice, everything.wrong) == ([], [], [])
