"""The kinds of faults, a module for each part of the world that fails."""

from tests.chaos.kinds import clocks, crossings, disk, locks, pairs, process, server, services, sessions, steering
from tests.chaos.kinds.kind import KINDS, Kind

__all__ = [
    "KINDS",
    "Kind",
    "clocks",
    "crossings",
    "disk",
    "locks",
    "pairs",
    "process",
    "server",
    "services",
    "sessions",
    "steering",
]
