"""The flags: what the rows of `configuration_params`, category `Polling`, say.

Reading never raises. A bad value is refused and what is in force stays; an absent row means the default; names that
are no flags are ignored. READERS is the specification: a name, and the values it takes.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

from listener.errors import Rejected
from listener.manual_pattern import fault_of

Value = bool | int | str

LONGEST_SHOWN = 60
"""Characters of a bad value that a sentence repeats; the whole value stands in the refusal."""


@dataclass(frozen=True, slots=True)
class Flags:
    """The flags in force."""

    fast_polling_enabled: bool = True
    fast_polling_interval: int = 15  # seconds
    sync_interval: int = 120  # seconds
    notify_enabled: bool = True
    api_calls_per_hour: int = 200
    upload_batch_size: int = 100
    max_upload_attempts: int = 5
    max_order_age_days: int = 14
    manual_order_pattern: str = "^10[0-9]{4}$"
    idle_policy: str = "always_on"
    idle_after: int = 300  # seconds


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row whose value is not taken. The reason names the row, the value and the range."""

    parameter_name: str
    value: str
    reason: str


@dataclass(frozen=True, slots=True)
class Change:
    """A flag that differs now; old and new as they would stand in the table."""

    parameter_name: str
    old: str
    new: str


class Reader(Protocol):
    """Turns a row's text into a value. `read` raises Rejected with the range."""

    def read(self, text: str) -> Value: ...


@dataclass(frozen=True, slots=True)
class Truth:
    """true or false, in any case."""

    def read(self, text: str) -> bool:
        if text.lower() not in ("true", "false"):
            raise Rejected("must be true or false")
        return text.lower() == "true"


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number in plain decimal digits, both ends of the range included."""

    lowest: int
    highest: int

    def read(self, text: str) -> int:
        # isdigit alone takes digits of every script; int() alone takes signs, underscores and megabytes.
        plain = text.isascii() and text.isdigit() and len(text) <= 20
        if not plain or not self.lowest <= int(text) <= self.highest:
            raise Rejected(f"must be a whole number from {self.lowest} to {self.highest}")
        return int(text)


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of a few words."""

    words: tuple[str, ...]

    def read(self, text: str) -> str:
        if text not in self.words:
            raise Rejected(f"must be {' or '.join(self.words)}")
        return text


@dataclass(frozen=True, slots=True)
class ManualPattern:
    """A regular expression, searched for as written; none that would take long."""

    def read(self, text: str) -> str:
        if fault := fault_of(text):
            raise Rejected(fault)
        return text


READERS: dict[str, Reader] = {
    "fast_polling_enabled": Truth(),
    "fast_polling_interval": Whole(1, 3600),
    "sync_interval": Whole(10, 86400),
    "notify_enabled": Truth(),
    "api_calls_per_hour": Whole(1, 1_000_000),
    "upload_batch_size": Whole(1, 100),
    "max_upload_attempts": Whole(1, 100),
    "max_order_age_days": Whole(1, 3650),
    "manual_order_pattern": ManualPattern(),
    "idle_policy": OneOf(("always_on", "allow_sleep")),
    "idle_after": Whole(10, 86400),
}


def parse_flags(rows: Iterable[tuple[str, str]], in_force: Flags) -> tuple[Flags, tuple[Refusal, ...]]:
    """Return the flags that (parameter_name, value) rows set, and what was refused.

    Shape: rows in the order of their id. With a NULL sku the table's unique key lets a name stand twice: the last wins.
    """
    values: dict[str, Any] = {}
    refusals = []
    for name, text in {name: text for name, text in rows if name in READERS}.items():
        try:
            values[name] = READERS[name].read(text.strip())
        except Rejected as error:
            values[name] = getattr(in_force, name)
            refusals.append(Refusal(name, text, _reason(name, text, error)))
    return replace(Flags(), **values), tuple(refusals)


def changes(old: Flags, new: Flags) -> tuple[Change, ...]:
    """Return what differs, in the order of the flags."""
    before, after = as_texts(old), as_texts(new)
    return tuple(Change(name, before[name], after[name]) for name in before if before[name] != after[name])


def as_text(value: Value) -> str:
    """Return a value as its row would say it: 'true', '15'."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def as_texts(flags: Flags) -> dict[str, str]:
    """Return the flags as their rows would say them."""
    return {name: as_text(value) for name, value in asdict(flags).items()}


def _reason(name: str, text: str, error: Rejected) -> str:
    shown = text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "…"
    return f"configuration_params {name} = {shown!r}: {error}"
