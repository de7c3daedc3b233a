"""Judges of the work itself: whose database it is, what waits and why, the budget, the mirror, the sync. Pure."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from listener.doctor.findings import Finding, counted, error, info, ok, shown, warning
from listener.doctor.quoting import literal
from listener.doctor.seen.server import Session
from listener.doctor.seen.work import Calls, Mirror, Oldest, Outcomes, Unsettled, Waiting, Watermark
from listener.doctor.sessions import ending, is_forgotten, who
from listener.events import SYNC
from listener.story.wording import command, instant, span

COUNTED_UP_TO = 10_000

STUCK_SECONDS = 300.0
"""A request has 30 s, and what got no answer is looked up after 40: so long it takes only when something is wrong."""

HEARTBEATS_UNTIL_LATE = 2
THROTTLED_LATELY_SECONDS = 3600.0

SYNC_CYCLES_UNTIL_LATE = 3
SYNC_GRACE_SECONDS = 600.0


def judge_home(differs: str | None) -> Iterator[Finding]:
    """This is the database of the first run, not a copy of it. `differs`: in what it is another; None: not known."""
    if differs is None:
        yield info("not compared with the database of the first run: LISTEN_DATABASE_URL is not reached")
        return
    if not differs:
        yield ok("this is the database of the first run, or there was none yet")
        return
    sentence = f"uploads are held: this looks like a restored copy ({differs})"
    yield error(sentence, todo="if production is here now: `listener install --this-is-production`")


def judge_waiting(seen: Waiting) -> Iterator[Finding]:
    """No order is due for long, and somebody is there to send it."""
    if seen.oldest is None:
        yield ok("no order is due")
        return
    due = f"{counted(seen.due, 'order is', 'orders are', COUNTED_UP_TO)} due, the first of them {_number(seen.oldest)}"
    if seen.paused_by is not None:
        yield info(f"{due}: the upload is paused by {shown(seen.paused_by)}", "`listener resume shipstation-upload`")
    elif not seen.is_led:
        yield error(f"{due}, and no listener leads", todo="start `listener run`")
    else:
        yield from _late(seen, seen.oldest, due)
    for locker in seen.oldest.lockers:
        yield _locked(seen.oldest, locker)


def _number(oldest: Oldest) -> str:
    return f"{shown(oldest.order_number)}, entered {span(oldest.seconds)} ago"


def _late(seen: Waiting, oldest: Oldest, due: str) -> Iterator[Finding]:
    if oldest.seconds <= HEARTBEATS_UNTIL_LATE * seen.heartbeat or oldest.lockers:
        yield ok(due)
    elif not seen.has_budget:
        yield info(f"{due}: they wait for the API budget")
    else:
        todo = f"{command('explain', oldest.order_number)} says what it waits for"
        yield warning(f"{due}: more than two heartbeats", todo=todo)


def _locked(oldest: Oldest, locker: Session) -> Finding:
    sentence = f"order {shown(oldest.order_number)} is due, and its row is locked by {who(locker)}"
    if is_forgotten(locker):
        return warning(sentence, ending(locker))
    end = f"if it is not needed, end it: `{ending(locker)}`" if locker.pid else "commit it or roll it back"
    return warning(sentence, todo=end)


def judge_unsettled(orders: Sequence[Unsettled]) -> Iterator[Finding]:
    """No order has been on its way, or in doubt, for long."""
    if not orders:
        yield ok("no order is on its way, or in doubt, for long")
        return
    some = "; ".join(_unsettled(order) for order in orders)
    sentence = f"{counted(orders[0].total, 'order has', 'orders have')} no outcome for long: {some}"
    yield warning(sentence, todo=f"{command('explain', orders[0].order_number)}; a running listener looks them up")


def _unsettled(order: Unsettled) -> str:
    state = "is being sent" if order.state == "sending" else "is in doubt"
    epoch = f", epoch {order.epoch}" if order.epoch is not None else ""
    by = f" by {shown(order.owner)}{epoch}" if order.owner else epoch
    return f"{shown(order.order_number)} {state} for {span(order.seconds)}{by}"


def judge_outcomes(seen: Outcomes) -> Iterator[Finding]:
    """No order needs a person."""
    if seen.failed:
        sentence = f"{counted(seen.failed, 'order has', 'orders have', COUNTED_UP_TO)} failed in the last seven days"
        yield warning(sentence, todo="`listener failed` says why, and what to do about each")
    if seen.held_back:
        sentence = f"{counted(seen.held_back, 'order is', 'orders are', COUNTED_UP_TO)} held back for their age"
        yield info(sentence, "`listener failed` lists them, `listener requeue` sends them")
    if seen.conflicts:
        sentence = f"{counted(seen.conflicts, 'order has', 'orders have', COUNTED_UP_TO)} doubles at ShipStation"
        yield info(f"{sentence} since seven days ago", "`select * from listener.conflicts` names them")
    if not (seen.failed or seen.held_back or seen.conflicts):
        yield ok("no order has failed lately, and none is held back")


def judge_calls(seen: Calls) -> Iterator[Finding]:
    """There are calls left, and ShipStation took the last one."""
    used = f"{seen.used_last_hour} of {seen.limit} ShipStation calls were made in the last hour"
    if seen.tokens < 1:
        yield warning(f"{used}, and none is left for {span(seen.next_in_seconds)}: orders wait and go together")
    else:
        yield ok(f"{used}, {int(seen.tokens)} could go at once")
    lately = seen.throttled_seconds_ago
    if lately is not None and lately < THROTTLED_LATELY_SECONDS:
        yield warning(f"ShipStation throttled us {span(lately)} ago (429)", todo="who else uses this key?")
    ago = f" {span(seen.last_seconds_ago)} ago" if seen.last_seconds_ago is not None else ""
    if seen.last_status in (401, 403):
        todo = "set SHIPSTATION_API_KEY and SHIPSTATION_API_SECRET to a key of API V1 that is in force"
        yield error(f"ShipStation refused our key at the last call{ago} ({seen.last_status})", todo=todo)
    elif seen.last_error and not seen.last_status:
        yield info(f"the last call to ShipStation{ago} got no answer: {shown(seen.last_error)}")


def judge_mirror(seen: Mirror) -> Iterator[Finding]:
    """What ShipStation has is known, and not from long ago."""
    held = f"the mirror holds {counted(seen.orders, 'order', 'orders')} of ShipStation"
    fresh = f", read to the end {span(seen.fresh_seconds_ago)} ago" if seen.fresh_seconds_ago is not None else ""
    if seen.is_full and seen.fresh_seconds_ago is not None and seen.fresh_seconds_ago <= seen.good_for_seconds:
        yield ok(f"{held}{fresh}")
    elif seen.is_full:
        yield info(f"{held}{fresh}: it is read on before the next order goes")
    elif seen.watermark is not None:
        left = span((seen.now - seen.watermark).total_seconds())
        yield info(f"{held}: its first reading has come to {instant(seen.watermark)}, {left} are left")
    else:
        yield info("ShipStation's orders have not been read yet: the first run reads 180 days of them")


def judge_watermark(seen: Watermark) -> Iterator[Finding]:
    """The sync moves on."""
    if seen.text is None:
        yield info("the sync from ShipStation has not run yet: sync_watermark has no row for it")
        return
    at = _instant(seen.text)
    if at is None:
        sentence = f"sync_watermark of {SYNC} holds no time: {shown(seen.text)}"
        now = literal(seen.now.astimezone(UTC).isoformat(timespec="seconds"))
        update = f"update sync_watermark set last_sync_timestamp = {now} where workflow_name = '{SYNC}';"
        yield error(sentence, todo=f"set it to the time from which to read on, as in `{update}`")
        return
    age = (seen.now - at).total_seconds()
    sentence = f"the sync from ShipStation has come to {instant(at)}, {span(max(age, 0))} ago"
    late = age > SYNC_CYCLES_UNTIL_LATE * seen.interval_seconds + SYNC_GRACE_SECONDS
    if not late:
        yield ok(sentence)
    elif not seen.is_enabled:
        yield info(f"{sentence}; it is switched off")
    else:
        yield warning(sentence, todo="see what its job says in its log")


def _instant(text: str) -> datetime | None:
    """Return the time that a text column holds; without a zone it is UTC."""
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
