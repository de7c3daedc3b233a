"""The table of scenarios: what each asks, and how much it takes on for --quick, for the usual run, and for --full."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import config
import drain
import growth
import idle
import latency
import machine
import writers
from figures import Table
from peers import peers_python

Result = dict[str, Any]


@dataclass(frozen=True)
class Scenario:
    """One question. `beside_peers`: it can be asked without them."""

    question: str
    measure: Callable[..., Result]
    tables: Callable[[Result], Sequence[Table]]
    quick: Mapping[str, Any]
    usual: Mapping[str, Any]
    full: Mapping[str, Any]
    beside_peers: bool = False

    def sizes(self, size: str) -> Mapping[str, Any]:
        return {"quick": self.quick, "usual": self.usual, "full": self.full}[size]


SCENARIOS: dict[str, Scenario] = {
    "latency": Scenario(
        "COMMIT to work begun, beside the peers",
        latency.measure,
        latency.tables,
        quick={"samples": 200},
        usual={"samples": 1000},
        full={"samples": 1000},
        beside_peers=True,
    ),
    "writers": Scenario(
        "what writers pay for being heard, beside a plain NOTIFY and the peers' enqueue",
        writers.measure,
        writers.tables,
        quick={"clients": [1, 16], "seconds": 1, "rounds": 1},
        usual={"clients": [1, 4, 16, 64], "seconds": 2, "rounds": 2},
        full={"clients": [1, 4, 16, 64], "seconds": 5, "rounds": 3},
        beside_peers=True,
    ),
    "drain": Scenario(
        "how fast a backlog goes, beside the peers' jobs that do nothing",
        drain.measure,
        drain.tables,
        quick={"orders": 20_000, "jobs": 5_000, "rounds": 1},
        usual={"orders": 100_000, "jobs": 10_000, "rounds": 1},
        full={"orders": 100_000, "jobs": 50_000, "rounds": 3},
        beside_peers=True,
    ),
    "growth": Scenario(
        "a check and a claim on large tables, and after many updates",
        growth.measure,
        growth.tables,
        quick={"sizes": [10_000, 200_000], "updates": 200_000, "samples": 300},
        usual={"sizes": [10_000, 1_000_000], "updates": 1_000_000, "samples": 1000},
        full={"sizes": [10_000, 1_000_000, 10_000_000], "updates": 1_000_000, "samples": 1000},
    ),
    "idle": Scenario(
        "what an idle listener costs",
        idle.measure,
        idle.tables,
        quick={"seconds": 60},
        usual={"seconds": 120},
        full={"seconds": 600},
    ),
    "config": Scenario(
        "COMMIT of a setting to its being in force, while uploads hang",
        config.measure,
        config.tables,
        quick={"changes": 200, "rollbacks": 20},
        usual={"changes": 1000, "rollbacks": 100},
        full={"changes": 1000, "rollbacks": 100},
    ),
}


def run(name: str, size: str, with_peers: bool) -> Result:
    """Run one scenario; return its figures with what they were taken on."""
    scenario = SCENARIOS[name]
    settings = dict(scenario.sizes(size))
    more = {"with_peers": with_peers} if scenario.beside_peers else {}
    if with_peers and scenario.beside_peers:
        peers_python()  # made ready before anything is measured
    before = machine.describe()
    figures = scenario.measure(**settings, **more)
    return {"scenario": name, "size": size, "settings": settings, "machine": before, "figures": figures}


def tables(result: Result) -> Sequence[Table]:
    return SCENARIOS[result["scenario"]].tables(result["figures"])
