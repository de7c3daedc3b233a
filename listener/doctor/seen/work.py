"""What waits, what was done, and the neighbours, as doctor sees them."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from listener.doctor.seen.server import Session


class FlagRow(NamedTuple):
    """A row of category Polling without a SKU."""

    id: int
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class FlagRows:
    """The flags' rows by id, and the value of each flag that was last accepted."""

    rows: tuple[FlagRow, ...]
    accepted: dict[str, str]


@dataclass(frozen=True, slots=True)
class Switch:
    """A row of `workflow_controls`."""

    workflow_name: str
    enabled: bool
    updated_by: str | None
    last_updated: datetime | None


@dataclass(frozen=True, slots=True)
class ForeignRun:
    """A workflow of ours whose `last_run_at` has moved lately. `beside_us`: since a listener that leads began to."""

    workflow_name: str
    enabled: bool
    seconds_ago: float
    beside_us: bool


@dataclass(frozen=True, slots=True)
class Unsettled:
    """An order that was sent, and of which no outcome is known yet. `total`: how many such there are."""

    order_number: str
    state: str
    epoch: int | None
    owner: str | None
    seconds: float
    total: int


@dataclass(frozen=True, slots=True)
class Oldest:
    """The first due order, and who holds its row locked."""

    row_id: int
    order_number: str
    seconds: float
    lockers: tuple[Session, ...]


@dataclass(frozen=True, slots=True)
class Waiting:
    """What is due, and whether anybody is there to send it. `heartbeat`: seconds in which it should be looked at."""

    due: int
    oldest: Oldest | None
    is_led: bool
    paused_by: str | None
    heartbeat: float
    has_budget: bool


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Orders that need a person. Counted up to a limit; failures of the last seven days."""

    held_back: int
    failed: int
    conflicts: int


@dataclass(frozen=True, slots=True)
class Calls:
    """The budget of ShipStation calls, and what the last one brought."""

    limit: int
    used_last_hour: int
    tokens: float
    next_in_seconds: float
    throttled_seconds_ago: float | None
    last_status: int | None
    last_error: str | None
    last_seconds_ago: float | None


@dataclass(frozen=True, slots=True)
class Mirror:
    """How far the mirror was read."""

    is_full: bool
    orders: int
    watermark: datetime | None
    fresh_seconds_ago: float | None
    good_for_seconds: float
    now: datetime


@dataclass(frozen=True, slots=True)
class Watermark:
    """How far the sync has come, as the table says it; None: it has no row."""

    text: str | None
    interval_seconds: int
    is_enabled: bool
    now: datetime


@dataclass(frozen=True, slots=True)
class Source:
    """The folder of order files, here or at Google: what is in it, or why it cannot be read, or was not asked for."""

    folder: str | None
    files: int = 0
    unreadable: tuple[tuple[str, str], ...] = ()
    fault: str = ""
    not_asked: str = ""


@dataclass(frozen=True, slots=True)
class Key:
    """What ShipStation said to our key, or why it was not asked, or why it did not answer."""

    status: int | None = None
    not_asked: str = ""
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """What a running listener says of itself at STATUS_ADDRESS; nothing, when none answers there."""

    address: str | None
    fault: str = ""
    role: str = ""
    version: str = ""
    degraded: tuple[str, ...] = ()
    missed: int = 0
