"""The table of checks: what each looks at, and who judges it. Their order is that of the report, and of the repair:
sessions that hold something are ended before tables are altered, and vacuuming comes last of what SQL mends.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, TypeVar

from listener import __version__
from listener.database import Connection
from listener.doctor import neighbours, outside, schema, server, sessions, steering, tables, work
from listener.doctor.findings import Finding
from listener.doctor.neighbours import Patient
from listener.doctor.seen.schema import Index, Looked, Schema
from listener.install import INSTALL, sql_dir
from listener.store import backlog, catalog
from listener.store import server as server_store
from listener.store import sessions as sessions_store
from listener.verify import look
from listener.workflows.keep_mirror import CYCLE_GRACE_SECONDS, GOOD_FOR_AT_MOST_SECONDS

Seen = TypeVar("Seen")


class Way(Enum):
    """How a check asks the database."""

    NOT = "not at all"
    LOOKING = "in a transaction that is taken back"
    ITSELF = "as it likes: it ends its own transactions"


@dataclass(frozen=True, slots=True)
class Check(Generic[Seen]):
    """One look, and its judge. `seconds`: when it is given up."""

    name: str
    gather: Callable[[Patient], Seen]
    judge: Callable[[Seen], Iterable[Finding]]
    way: Way = Way.LOOKING
    seconds: float = 8.0


def asked(read: Callable[[Connection], Seen]) -> Callable[[Patient], Seen]:
    """Return the gathering of what one function of the store reads."""
    return lambda patient: read(patient.database)


def read_schema(connection: Connection) -> Schema:
    """Return what `verify` says, and what its repair needs."""
    looked = tuple(Looked(check.check, check.ok, check.todo) for check in look(connection))
    disabled, timeout_by = catalog.disabled_triggers(connection), catalog.set_by(connection, "statement_timeout")
    here = server_store.read_server(connection)
    return Schema(looked, disabled, timeout_by, here.role, here.database)


def wanted_indexes() -> list[Index]:
    """Return the indexes of schema listener, as the files of sql/ make them."""
    texts = {file: (sql_dir() / file).read_text(encoding="utf-8") for file in INSTALL}
    return [index for file, text in texts.items() for index in schema.indexes_of(file, text)]


CHECKS: tuple[Check[Any], ...] = (
    Check("version", asked(server_store.read_server), server.judge_version),
    # Before LISTEN, whose probe would take the warning away in which the server names a pid.
    Check("queue", asked(sessions_store.read_queue), sessions.judge_queue, Way.ITSELF, seconds=12.0),
    Check("LISTEN", neighbours.listen, server.judge_hearing, Way.ITSELF),
    Check("clock", asked(server_store.compare_clocks), server.judge_clocks),
    Check("connections", asked(server_store.read_connections), server.judge_connections),
    Check("locks", asked(sessions_store.read_locks), sessions.judge_locks),
    Check(
        "transactions",
        lambda patient: sessions_store.read_transactions(
            patient.database, sessions.OLD_SECONDS, sessions.PREPARED_SECONDS, sessions.LOCKED_SECONDS
        ),
        sessions.judge_transactions,
    ),
    Check("schema", asked(read_schema), schema.judge_schema),
    Check(
        "indexes",
        lambda patient: catalog.read_indexes(patient.database, wanted_indexes()),
        schema.judge_indexes,
    ),
    Check(
        "privileges",
        lambda patient: catalog.read_privileges(patient.database, patient.roles),
        schema.judge_privileges,
    ),
    Check("writers", asked(catalog.silent_writers), sessions.judge_silent_writers),
    Check("flags", asked(backlog.flag_rows), steering.judge_flags),
    Check("workflows", asked(backlog.switches), steering.judge_switches),
    Check(
        "old scripts",
        lambda patient: backlog.foreign_runs(patient.database, steering.LATELY_SECONDS),
        steering.judge_foreign_runs,
    ),
    Check("idle", asked(backlog.flags_of), steering.judge_idle),
    Check("tables", asked(catalog.read_tables), tables.judge_tables),
    Check("plan", asked(catalog.explain_check), tables.judge_plan),
    Check("home", neighbours.difference_from_home, work.judge_home, Way.ITSELF),
    Check("orders", asked(backlog.read_waiting), work.judge_waiting),
    Check(
        "claims",
        lambda patient: backlog.unsettled(patient.database, work.STUCK_SECONDS),
        work.judge_unsettled,
    ),
    Check("outcomes", asked(backlog.read_outcomes), work.judge_outcomes),
    Check("budget", asked(backlog.read_calls), work.judge_calls),
    Check(
        "mirror",
        lambda patient: backlog.read_mirror(patient.database, CYCLE_GRACE_SECONDS, GOOD_FOR_AT_MOST_SECONDS),
        work.judge_mirror,
    ),
    Check("sync", asked(backlog.read_watermark), work.judge_watermark),
    Check("ShipStation", neighbours.ask_shipstation, outside.judge_key, Way.ITSELF, seconds=10.0),
    Check("source", neighbours.look_at_source, outside.judge_source, Way.NOT),
    Check(
        "page",
        lambda patient: neighbours.read_page(patient.settings),
        lambda page: outside.judge_page(page, __version__),
        Way.NOT,
    ),
)
