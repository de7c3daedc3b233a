"""Judges of what `install` makes: the checks of `verify` and the SQL that mends each, indexes, privileges. Pure."""

import re
from collections.abc import Callable, Iterator
from itertools import groupby

from listener.doctor.findings import Finding, error, info, ok, warning
from listener.doctor.quoting import identifier
from listener.doctor.seen.schema import Index, Indexes, Looked, Privileges, Schema
from listener.doctor.server import reset_of

FILE = re.compile(r"\bsql/(\w+(?:\.up)?\.sql)")
INDEX = re.compile(r"index (\w+) is there")
OURS = re.compile(r"listener\.|public\.(listener_drop_|idx_(orders_inbox_\w+|shipped_orders_key)_cc(new|old)\d*$)")
"""Indexes that nobody but us has begun: in our schema, or left by an install or by a REINDEX CONCURRENTLY."""

POLLING_COLUMNS = {
    "id": "integer primary key default 1",
    "last_upload_count": "integer default 0",
    "last_upload_check": "timestamp default current_timestamp",
    "last_xml_count": "integer default 0",
    "last_xml_check": "timestamp default current_timestamp",
}
"""Of a polling_state that was there before us the files change no column."""


def judge_schema(seen: Schema) -> Iterator[Finding]:
    """Everything that `install` makes is there and in force."""
    bad = [looked for looked in seen.looked if not looked.ok]
    if not bad:
        yield ok("everything that `listener install` makes is there and in force")
    for looked in bad:
        yield _mended(seen, looked)


def _mended(seen: Schema, looked: Looked) -> Finding:
    """Return a failed check with the files that its advice names, and the SQL that they need before."""
    before = next((sql for beginning, sql in BEFORE_THE_FILES if looked.check.startswith(beginning)), _nothing)
    found = warning if looked.check.startswith(NO_ORDER_WAITS_FOR) else error
    sql = tuple(before(seen, looked))
    files = tuple(dict.fromkeys(FILE.findall(looked.todo or "")))
    if before is _enabled and sql and _all_are_disabled(seen, looked):
        files = ()
    return found(f"not so: {looked.check}; {looked.todo}", *sql, files=files or DEFAULT_FILES[: not sql])


DEFAULT_FILES = ("003_notify.up.sql",)
"""Advice that names no file speaks of `listener install` and its triggers."""

NO_ORDER_WAITS_FOR = (
    "index idx_orders_inbox_awaiting",
    "index idx_shipped_orders_key",
    "the flags are there",
    "the workflows are there",
    "statement_timeout",
)
"""What the listener does without: without a row it has the default, and its own sessions set their own limit."""


def _nothing(_: Schema, __: Looked) -> Iterator[str]:
    yield from ()


def _columns(_: Schema, looked: Looked) -> Iterator[str]:
    missing = [name for name in POLLING_COLUMNS if re.search(rf"\b{name}\b", looked.todo or "")]
    if len(missing) < len(POLLING_COLUMNS):  # else the table itself is missing, and its file makes it
        for name in missing:
            yield f"alter table public.polling_state add column if not exists {name} {POLLING_COLUMNS[name]};"


def _one_row(_: Schema, looked: Looked) -> Iterator[str]:
    if not re.search(r"\bit has 0\b", looked.todo or ""):
        yield "delete from public.polling_state where id <> 1;"


def _index(_: Schema, looked: Looked) -> Iterator[str]:
    """Drop what has the index's name: the files build what is missing, and leave what has another definition."""
    if match := INDEX.search(looked.check):
        yield "set lock_timeout = 0;"  # a concurrent drop waits for older transactions, in nobody's way
        yield "set statement_timeout = 0;"
        yield f"drop index concurrently if exists public.{match[1]};"


def _timeout(seen: Schema, _: Looked) -> Iterator[str]:
    """The database's own setting is the file's; that of a role comes before it."""
    if seen.timeout_by in ("user", "database user"):
        yield reset_of("statement_timeout", seen.timeout_by, seen.database, seen.role)


def _enabled(seen: Schema, _: Looked) -> Iterator[str]:
    if seen.disabled:
        yield "set lock_timeout = '2s';"
    for table, name in seen.disabled:
        yield f"alter table {table} enable trigger {name};"


BEFORE_THE_FILES: tuple[tuple[str, Callable[[Schema, Looked], Iterator[str]]], ...] = (
    ("polling_state has its five columns", _columns),
    ("polling_state has exactly one row", _one_row),
    ("index ", _index),
    ("statement_timeout", _timeout),
    ("the triggers are there and enabled", _enabled),
)
"""How a check begins, and what its file cannot mend by itself."""


def _all_are_disabled(seen: Schema, looked: Looked) -> bool:
    """Every trigger that the advice names is there, and only has to be enabled."""
    named = set(re.findall(r"listener_\w+", looked.todo or ""))
    return named <= {trigger.name for trigger in seen.disabled}


def indexes_of(file: str, text: str) -> Iterator[Index]:
    """Yield the indexes that a file of sql/ makes in schema listener."""
    for name in re.findall(r"create index if not exists (\w+)\s+on listener\.", text):
        yield Index(name, file)


def judge_indexes(seen: Indexes) -> Iterator[Finding]:
    """The indexes of our own tables are there, and no index is left half built."""
    if seen.missing:
        names = ", ".join(index.name for index in seen.missing)
        yield error(f"indexes of schema listener are missing: {names}", files=tuple({i.file: 0 for i in seen.missing}))
    for name in seen.invalid:
        yield _left_half_built(name)
    if not (seen.missing or seen.invalid):
        yield ok("the indexes are there, and valid")


def _left_half_built(name: str) -> Finding:
    sentence = f"index {name} is not valid: writers keep it up, and nobody can use it"
    drop = f"drop index concurrently if exists {name};"
    if not OURS.match(name):
        return warning(sentence, todo=f"build it anew, or drop it: `{drop}`")
    files = ("002_ledger.up.sql",) if name.startswith("listener.") else ()
    return warning(sentence, "set lock_timeout = 0;", "set statement_timeout = 0;", drop, files=files)


def judge_privileges(seen: Privileges) -> Iterator[Finding]:
    """The roles that we connect as may do what the listener does."""
    for (role, kind, name), lacking in groupby(seen.lacking, key=lambda one: one[:3]):
        privileges = ", ".join(one.privilege for one in lacking)
        grant = f"grant {privileges} on {kind} {name} to {identifier(role)};"
        todo = "the owner has to run it"
        yield error(f"role {role} lacks {privileges} on {kind} {name}", grant, todo=todo)
    for table in seen.hidden_by_policy:
        todo = "let the role see all rows, by a policy or by BYPASSRLS"
        yield warning(f"row-level security on {table} may hide orders from role {seen.role}", todo=todo)
    if not seen.sees_other_roles:
        todo = f"an administrator may `grant pg_read_all_stats to {identifier(seen.role)};`"
        yield info("of other roles' sessions little can be seen: who holds or forgets something may stay unnamed", todo)
    if not (seen.lacking or seen.hidden_by_policy):
        yield ok(f"role {seen.role} may do what the listener does")
