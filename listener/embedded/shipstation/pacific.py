"""Pacific wall-clock, the only time ShipStation's V1 API speaks: every naive datetime here means America/Los_Angeles.

Stamps are kept as wall-clock, not as instants, because that is what the service compares and sorts by: in the hour
that autumn repeats, a later change may carry an earlier stamp.
"""

from datetime import datetime
from zoneinfo import ZoneInfo

PACIFIC = ZoneInfo("America/Los_Angeles")


def wall_clock(instant: datetime) -> datetime:
    """Return the naive Pacific time of an aware instant, cut to the milliseconds the service keeps."""
    local = instant.astimezone(PACIFIC)
    return local.replace(tzinfo=None, fold=0, microsecond=local.microsecond // 1000 * 1000)


def parse_wall_clock(text: str) -> datetime | None:
    """Read a date or time as the API takes it, or return None: zone-less is Pacific, an offset is honoured."""
    try:
        value = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return value if value.tzinfo is None else wall_clock(value)


def order_stamp(value: datetime) -> str:
    """Write a stamp as orders and shipments carry it: seven fractional digits, no zone."""
    return value.isoformat(timespec="microseconds") + "0"


def item_stamp(value: datetime) -> str:
    """Write a stamp as order items carry it: two or three fractional digits, no zone."""
    return value.isoformat(timespec="milliseconds").removesuffix("0")


def day(value: datetime) -> str:
    """Write a date-only field (shipDate, holdUntilDate)."""
    return value.date().isoformat()
