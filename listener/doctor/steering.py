"""Judges of how the listener is steered: flags, switches, and what each idle policy costs. Pure."""

from collections import Counter
from collections.abc import Iterator, Sequence

from listener.doctor.findings import Finding, info, ok, shown, warning
from listener.doctor.quoting import literal
from listener.doctor.seen.work import FlagRow, FlagRows, Switch
from listener.errors import Rejected
from listener.flags import READERS, Flags, Refusal, as_texts, parse_flags
from listener.state import OLD_BEHAVIOUR_SECONDS
from listener.story.wording import command, instant

KEEPALIVE_SECONDS = 15
DAY_SECONDS = 86_400

SLEEPING_BEAT_SECONDS = 3600
STATEMENTS_OF_A_NEW_START = 25
"""After each sleep the listener does what it does at a start: LISTEN, the probe, the lead, a settle, a look."""

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
    if accepted is not None:
        try:
            READERS[name].read(accepted.strip())
        except Rejected:
            pass
        else:
            return accepted
    return as_texts(Flags())[name]


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


def judge_idle(flags: Flags) -> Iterator[Finding]:
    """What each idle policy costs in statements of an idle day, and in seconds for an order that is not heard."""
    for policy in ("always_on", "allow_sleep"):
        in_force = " (in force)" if policy == flags.idle_policy else ""
        costs = f"about {statements_a_day(flags, policy):,} statements an idle day"
        yield info(f"idle_policy = {policy}{in_force}: {costs}; {_worst_case(flags, policy)}")


def statements_a_day(flags: Flags, policy: str) -> int:
    """Return what heartbeat and pings ask of an idle day: each session is spoken to every 15 s at least."""
    if policy == "allow_sleep":
        return DAY_SECONDS // SLEEPING_BEAT_SECONDS * STATEMENTS_OF_A_NEW_START
    pings = DAY_SECONDS / KEEPALIVE_SECONDS
    return round(max(DAY_SECONDS / flags.fast_polling_interval, pings) + pings)


def _worst_case(flags: Flags, policy: str) -> str:
    if policy == "allow_sleep":
        wakes = f"the order that wakes a suspended database waits {SLEEPING_BEAT_SECONDS} s at most"
        return f"{wakes}, or until SIGUSR1"
    seconds = flags.fast_polling_interval if flags.fast_polling_enabled else OLD_BEHAVIOUR_SECONDS
    return f"the database never suspends, and an order whose bell is lost waits {seconds:.0f} s at most"
