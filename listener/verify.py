"""Is all that install makes there, in force and as shipped? The checks stand in `sql/verify.sql`: psql has them too.

Only what SQL cannot know is asked here: whether the keys in the triggers are those that this code locks, and whether it
would take the values of the flags.
"""

import json
from collections import Counter
from dataclasses import dataclass

from listener import locks
from listener.flags import READERS, Flags, parse_flags
from listener.install import Session, open_session, run_pieces
from listener.store.config import all_flag_rows


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the answer; `todo` says how to mend it when it is not ok."""

    check: str
    ok: bool
    todo: str | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """All checks, and how many orders stand in each status (empty without the table)."""

    checks: tuple[Check, ...]
    statuses: dict[str, int]

    @property
    def ok(self) -> bool:
        return all(check.ok for check in self.checks)


def verify(url: str) -> Verdict:
    """Run every check, changing nothing. Raises Fatal when the database cannot be asked."""
    with open_session(url) as session:
        run_pieces(session, "verify.sql", slice(0, 1))  # its limits and search_path
        return Verdict((*look(session), _values(session)), _statuses(session))


def look(session: Session) -> tuple[Check, ...]:
    """Run every check on a session whose search_path is public; a setting of its own is all that it changes there."""
    run_pieces(session, "verify.sql", slice(1, 2))  # the rest of the file turns the checks into an error
    row = session.execute("select pg_catalog.current_setting('listener.verify')").fetchone()
    checks = tuple(Check(**check) for check in json.loads(row[0] if row else "[]"))
    return (*checks, _keys(session))


FLAGS_THERE_SQL = "select pg_catalog.to_regclass('public.configuration_params') is not null"


def _values(session: Session) -> Check:
    """Every flag that has a row has one, with a value that is taken over."""
    there = session.execute(FLAGS_THERE_SQL).fetchone()
    rows = all_flag_rows(session) if there and there[0] else []
    _, refusals = parse_flags(rows, Flags())
    faults = [refusal.reason for refusal in refusals]
    for name, times in Counter(name for name, _ in rows if name in READERS).items():
        faults += [f"{name} has {times} rows: delete all but the one that is meant"] if times > 1 else []
    return Check("the flags have one row each, and values in their range", not faults, "; ".join(faults) or None)


KEYS_SQL = """
select coalesce(pg_catalog.bool_and(pg_catalog.strpos(p.prosrc, %s) > 0 and pg_catalog.strpos(p.prosrc, %s) > 0), false)
from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
where n.nspname = 'listener' and p.proname in ('ring_for_inserted_orders', 'ring_for_updated_orders')
"""


def _keys(session: Session) -> Check:
    """The triggers try the same two locks as this code holds."""
    asked = [f"pg_try_advisory_lock_shared({locks.LOCK_CLASS}, {key})" for key in (locks.SILENCE_KEY, locks.LEADER_KEY)]
    row = session.execute(KEYS_SQL, asked).fetchone()
    ok = bool(row and row[0])
    return Check("the keys in the triggers are those of this program", ok, None if ok else "run `listener install`")


THERE_SQL = "select pg_catalog.to_regclass('public.orders_inbox') is not null"
STATUSES_SQL = "select status, count(*) from public.orders_inbox group by status order by count(*) desc, status"


def _statuses(session: Session) -> dict[str, int]:
    there = session.execute(THERE_SQL).fetchone()
    if not (there and there[0]):
        return {}
    session.execute("set statement_timeout = '5min'")  # it counts the whole table; whoever asks can wait or break off
    return {str(status): int(orders) for status, orders in session.execute(STATUSES_SQL)}
