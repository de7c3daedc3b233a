"""A chaos run: round after round a fault, drawn by the seed, while writers commit orders.

A round: writers write; the fault begins, lasts and ends; at that moment an order is committed, and how long it takes to
get to ShipStation is the fault's *recovery*. Then nobody writes any more, until all is quiet, and everything is judged.
A storm alone would prove little: the bell of a later order rescues one that was lost. So in a third of the rounds that
order is committed while the fault is in force, if the fault allows it, and nobody writes after its end: unless it gets
through all the same.
"""

import random
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from listener.install import install
from tests.chaos.kinds import Kind
from tests.chaos.operator import linger
from tests.chaos.watch import Watch
from tests.chaos.world import World


@dataclass
class Round:
    """One fault and what has become of it.

    recovered: seconds from the fault's end until the order that was committed then is at ShipStation
    drained:   seconds from the fault's end until every order is
    eased:     how often a backoff was ended, or a minute made to pass for orders in doubt
    """

    number: int
    kind: str
    lasted: float = 0.0
    recovered: float | None = None
    drained: float | None = None
    eased: int = 0
    orders: int = 0
    lost: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        return bool(self.lost or self.twice or self.wrong)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def drawn(kinds: Sequence[Kind], seed: int, number: int) -> Kind:
    """Return the kind of a round: each deck of all kinds is shuffled and dealt out, so that none is left out."""
    deck, place = divmod(number, len(kinds))
    return random.Random(f"{seed} deck {deck}").sample(kinds, len(kinds))[place]


class Run:
    """Rounds in one world. `tell` hears of each round when it is over. The listener's log is shown of what failed."""

    def __init__(
        self,
        world: World,
        kinds: Sequence[Kind],
        seed: int,
        tell: Callable[[Round], None],
        *,
        show_logs: bool = False,
    ) -> None:
        self.rounds: list[Round] = []
        self._world = world
        self._kinds = kinds
        self._seed = seed
        self._tell = tell
        self._show_logs = show_logs
        self.watch = Watch(world)

    def play(self, number: int) -> None:
        """Play one round, and leave the world as it was."""
        kind, dice = drawn(self._kinds, self._seed, number), random.Random(f"{self._seed} {number}")
        this = Round(number, kind.name)
        marks = [(process, process.mark()) for process in self._world.started]
        self.watch.begin()
        try:
            self._play(kind, dice, this)
        except Exception:
            this.wrong.append(traceback.format_exc(limit=-4))
        try:
            self._world.mend()
            if this.failed:
                install(self._world.url)
                self.watch.drain()  # the next round is not to blame
        except Exception:
            this.wrong.append(traceback.format_exc(limit=-4))
        if this.failed or self._show_logs:
            self._show_log(dict(marks))
        self.rounds.append(this)
        self._tell(this)

    def _play(self, kind: Kind, dice: random.Random, this: Round) -> None:
        world = self._world
        world.probe = ""
        with world.traffic.flowing(dice):
            linger(dice.uniform(0, 0.4))
            began = time.monotonic()
            with kind.in_force(world, dice):
                linger(dice.uniform(*kind.lasts))
                if dice.random() < 0.67:  # else the bells of later orders may help
                    world.traffic.hush()
                    if dice.random() < 0.5:
                        world.probe = world.try_commit_probe(f"E{this.number}")
            ended = time.monotonic()
            waits = world.probe and not world.account.order_by_number(world.probe)
            probe = world.probe if waits else world.commit_probe(f"P{this.number}")
            late = time.monotonic() - ended
            seconds, this.eased = self.watch.wait_for(probe)
            this.lasted, this.recovered = ended - began, None if seconds is None else late + seconds
            if seconds is None:
                this.wrong.append(f"{probe} did not get to ShipStation")
        drained, eased = self.watch.drain()
        this.eased += eased
        this.drained = time.monotonic() - ended if drained else None
        if fault := self.watch.wait_until_asleep():
            this.wrong.append(fault)
        outcome = self.watch.judge(may_miss=kind.may_miss)
        this.orders, this.lost, this.twice = outcome.orders, outcome.lost, outcome.twice
        this.wrong += outcome.wrong

    def _show_log(self, marks: dict[Any, int]) -> None:
        for process in self._world.started:
            lines = process.lines[marks.get(process, 0) :]
            if lines:
                print(f"--- log of listener process {process.pid} ---", *lines[-80:], sep="\n", flush=True)
