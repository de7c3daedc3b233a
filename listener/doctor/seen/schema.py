"""What `install` has made, as doctor sees it, and what the check's speed rests on."""

from dataclasses import dataclass
from typing import NamedTuple


class Looked(NamedTuple):
    """A check of `verify`."""

    check: str
    ok: bool
    todo: str | None


class Trigger(NamedTuple):
    """One of our triggers."""

    table: str
    name: str


@dataclass(frozen=True, slots=True)
class Schema:
    """What `verify` says, and what its repair needs to know besides."""

    looked: tuple[Looked, ...]
    disabled: tuple[Trigger, ...]
    timeout_by: str
    role: str
    database: str


class Index(NamedTuple):
    """An index that should be there."""

    name: str
    file: str


@dataclass(frozen=True, slots=True)
class Indexes:
    """Indexes of our own tables that are missing, and those of tables we use that are not valid, by full name."""

    missing: tuple[Index, ...]
    invalid: tuple[str, ...]


class Lacking(NamedTuple):
    """A privilege that a role of ours does not have. `kind`: table, sequence, schema."""

    role: str
    kind: str
    object: str
    privilege: str


@dataclass(frozen=True, slots=True)
class Privileges:
    """What our roles lack. `hidden_by_policy`: tables of whose rows row-level security may hide some from us."""

    lacking: tuple[Lacking, ...]
    hidden_by_policy: tuple[str, ...]
    sees_other_roles: bool
    role: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table whose vacuuming counts."""

    name: str
    bytes: int
    pages_all_visible: int
    was_vacuumed: bool
    autovacuum_off: bool


@dataclass(frozen=True, slots=True)
class HotIndex:
    """An index that every check reads, and how many rows it should hold; counted up to a limit."""

    name: str
    bytes: int
    rows: int


@dataclass(frozen=True, slots=True)
class Tables:
    """What the speed of the check rests on. `autovacuum`: the server's switch."""

    tables: tuple[Table, ...]
    indexes: tuple[HotIndex, ...]
    autovacuum: bool


class PlannerSetting(NamedTuple):
    """A planner's switch that is off, and where it is set (pg_settings.source)."""

    name: str
    source: str


@dataclass(frozen=True, slots=True)
class CheckPlan:
    """How the server would answer the check: (kind of scan, index or table) for each scan of `orders_inbox`."""

    table_bytes: int
    scans: tuple[tuple[str, str], ...]
    switches: tuple[PlannerSetting, ...]
    database: str
    role: str
