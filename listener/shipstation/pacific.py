"""ShipStation's clock: Pacific wall-clock time without a zone, also where a Z stands behind it. Pure.

Twice a year that clock is no clock. In autumn it shows one hour twice, and a stamp does not say which of the two is
meant: it is read as the earlier one, so nothing ever seems newer than it is. In spring it leaves one out: a stamp in
that hour is read as the moment of the jump. Read like this, a later stamp is never an earlier instant.

Source: ShipStation API V1, "Requirements", on dates and times.
"""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

PACIFIC = ZoneInfo("America/Los_Angeles")

OVERLAP = timedelta(minutes=5)
"""How much is read again each time: a change may show in the list a little later than its stamp says."""

REPEATED = timedelta(hours=1)

STAMP = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{1,7})?(?=Z?\Z)", re.ASCII)


def to_pacific(instant: datetime) -> str:
    """Return an aware instant as the service's filters take it, "YYYY-MM-DD HH:MM:SS"; fractions are cut off."""
    return _local(instant).replace(tzinfo=None).isoformat(sep=" ", timespec="seconds")


def from_pacific(text: str) -> datetime:
    """Return the UTC instant of a stamp; of up to seven fractional digits six are kept. Raises ValueError."""
    if not (match := STAMP.match(text)):
        raise ValueError(f"{text[:50]!r} is not a time as ShipStation writes it")
    try:
        local = datetime.fromisoformat(match[0]).replace(tzinfo=PACIFIC)  # fold=0: the earlier of two
        instant = local.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"there is no time {text[:50]!r}") from error
    if _local(instant).replace(tzinfo=None) != local.replace(tzinfo=None):  # in the hour that spring leaves out
        return local.replace(minute=0, second=0, microsecond=0).astimezone(UTC)
    return instant


def is_repeated(instant: datetime) -> bool:
    """Tell whether the Pacific clock shows this time twice, in autumn."""
    local = _local(instant)
    return local.utcoffset() != local.replace(fold=1 - local.fold).utcoffset()


def overlap(watermark: datetime) -> timedelta:
    """Return how far before the watermark (or any other instant) a reading has to begin so that it misses nothing.

    Five minutes. But changes of the second pass of the repeated hour carry stamps of the first, so as long as one may
    still come, or come late, the list is read from before that hour: 65 minutes back on the Pacific clock from a
    watermark in the hour or up to 5 minutes after it. Stamps are read as the first pass, so behind the hour these are
    65 + 60 minutes of real time: 65 alone would lead back into the hour, past its first stamps.
    """
    if _local(watermark - OVERLAP).fold:  # from five minutes into the second pass to five minutes after it
        return OVERLAP + 2 * REPEATED
    return OVERLAP + REPEATED if is_repeated(watermark) else OVERLAP


def tick(instant: datetime) -> datetime:
    """Return the beginning of the smallest span that the service's filters can tell from the next one.

    It is a second, but the repeated hour is one single span: nobody knows which pass the service takes an edge inside
    it for, nor whether it sorts that hour by the clock or by what really came first.
    """
    second = instant.astimezone(UTC).replace(microsecond=0)
    if not is_repeated(second):
        return second
    hour = second.replace(minute=0, second=0)
    return hour - REPEATED if _local(hour).fold else hour


def later(ticked: datetime, count: int) -> datetime:
    """Return the tick `count` ticks after this one."""
    for _ in range(count):
        ticked += 2 * REPEATED if is_repeated(ticked) else timedelta(seconds=1)
    return ticked


def earlier(ticked: datetime) -> datetime:
    """Return the tick before this one."""
    return tick(ticked - timedelta(seconds=1))


def _local(instant: datetime) -> datetime:
    if instant.tzinfo is None:
        raise ValueError(f"{instant} has no zone")  # astimezone() would take this machine's
    return instant.astimezone(PACIFIC)
