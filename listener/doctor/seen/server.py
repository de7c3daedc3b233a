"""The server as doctor sees it, and who else is there."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Session:
    """Another session of the server. What its role hides from ours is None or ''; pid None: a prepared transaction.

    open_seconds:  how long its transaction has been open
    still_seconds: how long it has been in its state
    """

    pid: int | None
    role: str
    application: str
    database: str
    address: str
    started: datetime | None
    state: str
    open_seconds: float | None
    still_seconds: float | None


@dataclass(frozen=True, slots=True)
class Server:
    """The server as one of our addresses reaches it."""

    version: str
    number: int
    database: str
    role: str
    host: str
    started: datetime
    is_standby: bool
    read_only: bool
    read_only_by: str


class Address(NamedTuple):
    """What came of one of our addresses: the server, or why it is not reached."""

    setting: str
    server: Server | None
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Connections:
    """How many connections there are, and how many there may be (None: no limit)."""

    of_server: int
    most_of_server: int
    of_database: int
    most_of_database: int | None
    of_role: int
    most_of_role: int | None
    database: str
    role: str


@dataclass(frozen=True, slots=True)
class Clocks:
    """How far the server's clock is ahead of ours, and by how much that may be wrong."""

    ahead_seconds: float
    uncertain_seconds: float


@dataclass(frozen=True, slots=True)
class Hearing:
    """What the probe of LISTEN says. `fault`: the error that LISTEN ended in, with its SQLSTATE."""

    heard: bool
    setting: str
    host: str
    fault: str = ""
    sqlstate: str | None = None


@dataclass(frozen=True, slots=True)
class Lead:
    """The row of `listener.leader`."""

    epoch: int
    holder: str | None
    pid: int | None
    since: datetime | None
    has_lease: bool


@dataclass(frozen=True, slots=True)
class Lock:
    """One of our two advisory locks, held by a session."""

    key: int
    exclusive: bool
    session: Session


@dataclass(frozen=True, slots=True)
class Locks:
    """Who holds our locks, and who leads. `lasting`: pids that hold one, shared, for longer than a writer would."""

    lead: Lead | None
    locks: tuple[Lock, ...]
    lasting: frozenset[int | None] = frozenset()


@dataclass(frozen=True, slots=True)
class Queue:
    """How full the NOTIFY queue is, and who may keep it from being emptied.

    named: the pid that the server itself names; suspects: who has been in one transaction for the longest time
    """

    usage: float
    named: Session | None
    suspects: tuple[Session, ...]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A prepared transaction."""

    gid: str
    owner: str
    database: str
    seconds: float


@dataclass(frozen=True, slots=True)
class TableLock:
    """A lock on one of our tables that keeps others waiting."""

    table: str
    mode: str
    session: Session


@dataclass(frozen=True, slots=True)
class Transactions:
    """What has been open for long, and what is locked."""

    old: tuple[Session, ...]
    prepared: tuple[Prepared, ...]
    table_locks: tuple[TableLock, ...]


@dataclass(frozen=True, slots=True)
class RoleSetting:
    """A setting that sessions of a role in a database begin with ('': of all roles, in all databases)."""

    role: str
    database: str
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class SilentWriters:
    """Writers whose triggers do not fire or do not ring. `whole_server`: session_replication_role of everybody."""

    settings: tuple[RoleSetting, ...]
    subscriptions: tuple[str, ...]
    whole_server: str
