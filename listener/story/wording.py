"""Times, counts and commands as people read them. Pure."""

import shlex
from datetime import UTC, datetime

UNITS = (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 172_800))
"""Unit, its seconds, and up to where it says most."""


def instant(at: datetime) -> str:
    """Return a time in UTC, to the second."""
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def span(seconds: float) -> str:
    """Return a length of time in the unit that says most."""
    for unit, size, most in UNITS:
        if seconds < most:
            return f"{max(0, round(seconds / size))} {unit}"
    return f"{round(seconds / 86_400)} days"


def soon(at: datetime, now: datetime) -> str:
    """Return a time to come, and how long that is: the clock alone says enough within a day."""
    seconds = (at - now).total_seconds()
    when = f"{at.astimezone(UTC):%H:%M:%S} UTC" if seconds < 43_200 else instant(at)
    return f"at {when} (in {span(seconds)})"


def times(count: int) -> str:
    """Return `once`, `2 times`."""
    return "once" if count == 1 else f"{count} times"


def requeue_command(number: str, *, again: bool = False) -> str:
    """Return what to type for another try."""
    return command("requeue", number, *(["--again"] if again else []))


def command(verb: str, name: str, *options: str) -> str:
    """Return what to type to do something with an order or a workflow, as a shell takes it whatever its name is."""
    words = ["listener", verb, *options, *(["--"] if name.startswith("-") else []), name]
    return f"`{shlex.join(words)}`"
