"""The sync's watermark: up to which change at ShipStation the shop's rows have been brought. Text both ways; pure.

It stands in `sync_watermark`, where programs before this one have written it in several ways. So it is read leniently,
and where a text can be read in two ways, as the earlier one: what is read twice is only read twice. It is written in
one form, that of ShipStation's own stamps: "YYYY-MM-DDTHH:MM:SS.fffffff", Pacific wall-clock, no zone. A program that
hands it back as `modifyDateStart` means the same time by it, whichever it is.
"""

import re
from datetime import UTC, datetime, timedelta

from listener.shipstation.pacific import OVERLAP, from_pacific, to_pacific

DEFAULT_DAYS = 14
"""How far back the first reading goes, and one after a watermark that says nothing."""

FURTHEST_DAYS = 180
"""How far back a reading goes at most, whatever the watermark says."""

FORM = re.compile(
    r"(?P<day>\d{4}-\d\d-\d\d)(?:[T ](?P<time>\d\d:\d\d(?::\d\d)?)(?:\.(?P<fraction>\d{1,9}))?)?"
    r"\s?(?P<zone>Z|UTC|[+-]\d\d(?::?\d\d)?)?",
    re.ASCII | re.IGNORECASE,
)


def read_watermark(text: str | None, now: datetime) -> datetime:
    """Return where a watermark stands. None, rubbish and the future read as two weeks ago; half a year is the most."""
    instant = None if text is None else _instant(text.strip())
    if instant is None or instant > now + OVERLAP:  # it would make us miss all that happens until then
        return now - timedelta(days=DEFAULT_DAYS)
    return max(instant, now - timedelta(days=FURTHEST_DAYS))


def write_watermark(instant: datetime) -> str:
    """Return an aware instant as it is written."""
    return f"{to_pacific(instant).replace(' ', 'T')}.{instant.microsecond:06d}0"


def _instant(text: str) -> datetime | None:
    """Read a time. Without a zone it is Pacific, as ShipStation writes it.

    With a Z it is either UTC or, as one program wrote it, a wall-clock with a Z put behind: UTC is the earlier one.
    """
    if not (match := FORM.fullmatch(text)):
        return None
    time = match["time"] or "00:00:00"
    time = time if len(time) == len("00:00:00") else f"{time}:00"
    zone = (match["zone"] or "").upper().replace("UTC", "Z")
    try:
        if not zone:
            return from_pacific(f"{match['day']}T{time}.{(match['fraction'] or '0')[:7]}")
        local = datetime.fromisoformat(f"{match['day']}T{time}.{(match['fraction'] or '0')[:6].ljust(6, '0')}{zone}")
        return local.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
