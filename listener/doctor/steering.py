"""Judges of how the listener is steered: flags, switches, and what it costs when idle. Pure."""

from collections import Counter
from collections.abc import Iterator, Sequence

from listener.doctor.findings import Finding, info, ok, shown, warning
from listener.doctor.quoting import literal
from listener.doctor.seen.work import FlagRow, FlagRows, ForeignRun, Switch
from listener.errors import Rejected
from listener.events import UPLOAD
from listener.flags import READERS, Flags, Refusal, as_texts, parse_flags
from listener.state import DORMANT_SECONDS, KEEPALIVE_SECONDS, OLD_BEHAVIOUR_SECONDS
from listener.story.wording import command, instant, span

DAY_SECONDS = 86_400
LOOKS_A_DAY = round(DAY_SECONDS / DORMANT_SECONDS)

STATEMENTS_OF_A_CYCLE = 4
"""Of the sync, when nothing has changed at ShipStation."""

STATEMENTS_OF_A_LOOK = 50
"""Of two new sessions: LISTEN, lead, look, settle, beat, and a cycle of the sync."""

LATELY_SECONDS = 900.0
"""Three rounds of a script that runs every 300 s."""

WHERE = "category = 'Polling' and sku is null"


def judge_flags(seen: FlagRows) -> Iterator[Finding]:
    """Every flag has one row at most, and a value that is taken."""
    rows = [(row.name, row.value) for row in seen.rows]
    _, refusals = parse_flags(rows, Flags())
    for refusal in refusals:
        yield _refused(seen, refusal)
    for name, count in Counter(row.name for row in seen.rows if row.name in READERS).items():
        if count > 1:
            yield _double(name, [row for row in seen.rows if row.name == name])
    if unknown := sorted({row.name for row in seen.rows} - READERS.keys()):
        yield info(f"rows of category Polling that are no flag: {shown(', '.join(unknown))}; is one misspelt?")
    if not refusals and len({name for name, _ in rows}) == len(rows):
        yield ok("every flag has a value that is taken")


def _refused(seen: FlagRows, refusal: Refusal) -> Finding:
    name = refusal.parameter_name
    good = _good_value(name, seen.accepted.get(name))
    sentence = f"refused: {refusal.reason}; {good} is in force, the last good value or the default"
    row = f"{WHERE} and parameter_name = '{name}'"
    return warning(sentence, f"update public.configuration_params set value = {literal(good)} where {row};")


def _good_value(name: str, accepted: str | None) -> str:
    """Return what a listener has in force now: the last value that it accepted, if that is one still."""
    if accepted is not None and _is_taken(name, accepted):
        return accepted
    return as_texts(Flags())[name]


def _is_taken(name: str, value: str) -> bool:
    try:
        READERS[name].read(value.strip())
    except Rejected:
        return False
    return True


def _double(name: str, rows: Sequence[FlagRow]) -> Finding:
    *earlier, last = rows
    ids = ", ".join(str(row.id) for row in earlier)
    sentence = f"flag {name} has {len(rows)} rows; the last counts: {shown(last.value)}"
    return warning(sentence, f"delete from public.configuration_params where id in ({ids});")


def judge_switches(switches: Sequence[Switch]) -> Iterator[Finding]:
    """Which workflows are switched off, by whom and since when."""
    for switch in switches:
        if not switch.enabled:
            by = f" by {shown(switch.updated_by)}" if switch.updated_by else ""
            since = f" since {instant(switch.last_updated)}" if switch.last_updated else ""
            sentence = f"workflow {shown(switch.workflow_name)} is switched off{by}{since}"
            yield info(sentence, f"{command('resume', switch.workflow_name)} switches it on")
    if all(switch.enabled for switch in switches):
        yield ok("every workflow is switched on")


def judge_foreign_runs(runs: Sequence[ForeignRun]) -> Iterator[Finding]:
    """Nobody else does what a listener that leads does."""
    for run in runs:
        moved = f"workflow_controls.last_run_at of {run.workflow_name} moved {span(run.seconds_ago)} ago"
        if run.beside_us and run.enabled:
            doubles = ", and two uploaders make double orders" if run.workflow_name == UPLOAD else ""
            sentence = f"{moved}, which the listener never does: another program does the same work{doubles}"
            yield warning(sentence, todo=f"stop the old script, or {command('pause', run.workflow_name)}")
        elif run.beside_us:
            yield info(f"{moved}: another program does that work, and the listener, switched off, does not")
        else:
            yield info(f"{moved}, by another program, when no listener led", "stop it before `listener run` begins")
    if not runs:
        yield ok("no other program has done a workflow's work lately")


def judge_idle(flags: Flags) -> Iterator[Finding]:
    """What an idle day costs under either policy in statements, and an order that is not heard in seconds."""
    seconds = flags.fast_polling_interval if flags.fast_polling_enabled else OLD_BEHAVIOUR_SECONDS
    sleeps = flags.idle_policy == "allow_sleep"
    here, there = ("", " (in force)") if sleeps else (" (in force)", "")
    yield info(
        f"idle_policy = always_on{here}: about {statements_a_day(flags):,} statements an idle day, so that a database"
        f" never suspends; an order whose bell is lost waits {seconds:.0f} s at most"
    )
    yield info(
        f"idle_policy = allow_sleep{there}: about {LOOKS_A_DAY * STATEMENTS_OF_A_LOOK:,} statements an idle day, none"
        f" between two looks; an order that wakes a suspended database waits {DORMANT_SECONDS:.0f} s at most, or for"
        " SIGUSR1"
    )
    if sleeps and not (flags.fast_polling_enabled and flags.notify_enabled):
        yield warning("allow_sleep has no effect while fast_polling_enabled or notify_enabled is false")


def statements_a_day(flags: Flags) -> int:
    """Return what an idle day takes: each session is spoken to every 15 s at least, and the sync has its cycles."""
    pings = DAY_SECONDS / KEEPALIVE_SECONDS
    cycles = DAY_SECONDS / flags.sync_interval
    return round(max(DAY_SECONDS / flags.fast_polling_interval, pings) + pings + cycles * STATEMENTS_OF_A_CYCLE)
