"""Judges of the check's speed: are tables vacuumed, indexes no larger than what they hold, is the plan good? Pure."""

from collections.abc import Iterator

from listener.doctor.findings import Finding, info, ok, warning
from listener.doctor.seen.schema import CheckPlan, HotIndex, PlannerSetting, Table, Tables
from listener.doctor.server import reset_of

SMALL_BYTES = 8 * 2**20
"""A table of this size is read in a few milliseconds, however it is read."""

BLOATED_BYTES = 4 * 2**20
BYTES_A_ROW = 100
"""What an entry of one of these indexes takes is less than half of this."""

TIMES_TOO_LARGE = 10


def judge_tables(seen: Tables) -> Iterator[Finding]:
    """Inbox and ledger are vacuumed, and the two indexes of the check hold little else than what is pending."""
    findings = [_neglected(table) for table in seen.tables] + [_bloated(index) for index in seen.indexes]
    if not seen.autovacuum:
        yield warning("autovacuum is off for the whole server", todo="set autovacuum = on in postgresql.conf")
    elif not any(findings):
        yield ok("inbox and ledger are vacuumed, and their indexes are no larger than they need be")
    yield from filter(None, findings)


UNLIMITED = "set statement_timeout = 0;"


def _neglected(table: Table) -> Finding | None:
    never = table.bytes > SMALL_BYTES and not table.was_vacuumed and table.pages_all_visible == 0
    reset = f"alter table {table.name} reset (autovacuum_enabled);"
    vacuum = f"vacuum (analyze) {table.name};"
    if table.autovacuum_off:
        sentence = f"autovacuum is off for {table.name}: every check gets slower with each order"
        return warning(sentence, UNLIMITED, reset, *([vacuum] if never else []))
    if never:
        sentence = f"{table.name} ({table.bytes // 2**20} MB) was never vacuumed: a check reads the table itself"
        return warning(sentence, UNLIMITED, vacuum)
    return None


def _bloated(index: HotIndex) -> Finding | None:
    needed = max(index.rows, 1) * BYTES_A_ROW
    if index.bytes < BLOATED_BYTES or index.bytes < needed * TIMES_TOO_LARGE:
        return None
    sentence = f"index {index.name} has {index.bytes // 2**20} MB for {index.rows} rows: a check may read all of it"
    return warning(sentence, "set lock_timeout = 0;", UNLIMITED, f"reindex index concurrently {index.name};")


def judge_plan(seen: CheckPlan) -> Iterator[Finding]:
    """The check goes by its index alone, if the table is large enough for that to count."""
    kinds = {kind for kind, _ in seen.scans}
    if kinds == {"Index Only Scan"}:
        yield ok("the check is answered from its index alone")
    elif seen.table_bytes < SMALL_BYTES:
        yield ok("the check reads a table that is small")
    else:
        sentence = f"the check reads orders_inbox itself ({', '.join(sorted(kinds)) or 'no scan is known'})"
        resets = [reset for switch in seen.switches if (reset := _reset(seen, switch))]
        others = [switch.name for switch in seen.switches if not _reset(seen, switch)]
        todo = f"the planner's {', '.join(others)} {'is' if len(others) == 1 else 'are'} off" if others else ""
        yield warning(sentence, *resets, UNLIMITED, "vacuum (analyze) public.orders_inbox;", todo=todo)
    if seen.switches and seen.table_bytes < SMALL_BYTES:
        yield info(f"planner switches are off: {', '.join(switch.name for switch in seen.switches)}")


def _reset(seen: CheckPlan, switch: PlannerSetting) -> str:
    return reset_of(switch.name, switch.source, seen.database, seen.role)
