"""Judges of the server: is it reached, the right one, new enough, and does LISTEN hear there? Pure."""

from collections.abc import Iterator, Sequence

from listener.doctor.findings import Finding, error, ok, warning
from listener.doctor.quoting import identifier
from listener.doctor.seen.server import Address, Clocks, Connections, Hearing, Server

OLDEST_MAJOR = 14

FIRST_MINOR_WITH_FIX = {14: 21, 15: 16, 16: 12, 17: 8, 18: 2}
"""From these on VACUUM keeps what unread notifications need; before, LISTEN can fail for good with "could not access
status of transaction". Source: PostgreSQL release notes of 2026-02-12, "Prevent truncation of CLOG that is still needed
by unread NOTIFY messages"."""

CLOG_GONE = "58P01"
NOT_ON_A_STANDBY = "25006"

FULL_FROM = 0.8
CONNECTIONS_OF_A_LISTENER = 2
"""LISTEN and work: what an idle one holds."""

CLOCK_SECONDS = 5.0


def judge_addresses(addresses: Sequence[Address]) -> Iterator[Finding]:
    """Each of our addresses leads to a database, and all of them to the same."""
    for address in addresses:
        if address.server is None:
            yield error(f"{address.setting} leads to no database: {address.fault}")
        else:
            yield from _judge_server(address.setting, address.server)
    there = [address.server for address in addresses if address.server]
    if len({(server.started, server.database) for server in there}) > 1:
        places = " and ".join(f"database {server.database} on {server.host}" for server in there)
        todo = "let both name the same database of the same server"
        yield error(f"DATABASE_URL and LISTEN_DATABASE_URL lead to two databases: {places}", todo=todo)


def _judge_server(setting: str, server: Server) -> Iterator[Finding]:
    if server.is_standby:
        sentence = f"{setting} leads to a standby, {server.host}, which only reads: no order can go, LISTEN is refused"
        yield error(sentence, todo=f"set {setting} to the address of the primary")
    elif server.read_only:
        yield _read_only(setting, server)
    else:
        where = f"database {server.database} on {server.host}, as {server.role}"
        yield ok(f"{setting} leads to PostgreSQL {server.version}, {where}")


def _read_only(setting: str, server: Server) -> Finding:
    sentence = f"{setting} leads to a database whose sessions begin read-only: no order can go"
    reset = reset_of("default_transaction_read_only", server.read_only_by, server.database, server.role)
    if reset:
        return error(sentence, "set default_transaction_read_only = off;", reset)
    return error(sentence, todo="a full disk may be the reason; then set default_transaction_read_only = off")


def reset_of(setting: str, source: str, database: str, role: str) -> str:
    """Return the SQL that takes a setting back, by its source in pg_settings; '' when it stands in no table."""
    targets = {
        "database": f"database {identifier(database)}",
        "user": f"role {identifier(role)}",
        "database user": f"role {identifier(role)} in database {identifier(database)}",
    }
    return f"alter {targets[source]} reset {setting};" if source in targets else ""


def judge_version(server: Server) -> Iterator[Finding]:
    """It is new enough, and has the fix that LISTEN needs."""
    major, minor = divmod(server.number, 10_000)
    needed = FIRST_MINOR_WITH_FIX.get(major, 0)
    if major < OLDEST_MAJOR:
        yield error(f"PostgreSQL {server.version} is too old", todo=f"move to PostgreSQL {OLDEST_MAJOR} or newer")
    elif minor < needed:
        sentence = f"PostgreSQL {server.version} has a fault by which VACUUM can break LISTEN for good (SQLSTATE 58P01)"
        yield warning(sentence, todo=f"update the server to {major}.{needed} or newer; no data is moved for that")
    else:
        yield ok(f"PostgreSQL {server.version} is new enough")


def judge_hearing(seen: Hearing) -> Iterator[Finding]:
    """A notification that a second connection sends is heard on a LISTEN of the first."""
    if seen.sqlstate == CLOG_GONE:
        sentence = f"LISTEN fails, because VACUUM has thrown away what unread notifications need: {seen.fault}"
        clean = "select pg_notification_queue_usage();"  # it also moves the queue's end on
        yield error(sentence, clean, todo="then update the server to its newest minor release, or it comes again")
    elif seen.fault and seen.sqlstate != NOT_ON_A_STANDBY:
        yield error(f"LISTEN could not be tried out: {seen.fault}")
    elif not seen.heard and not seen.fault:
        sentence = f"the listener is deaf through {seen.setting}: LISTEN succeeds at {seen.host} and hears nothing"
        yield error(f"{sentence}, as behind a transaction pooler", todo=_direct(seen.host))
    elif seen.heard:
        yield ok("a notification from another connection was heard")


def _direct(host: str) -> str:
    """Return what to set LISTEN_DATABASE_URL to; Neon's pooled hosts have a direct one of nearly the same name."""
    if "-pooler." in host:
        return f"set LISTEN_DATABASE_URL to the same address with the host {host.replace('-pooler.', '.')}"
    return "set LISTEN_DATABASE_URL to the server itself, or to a port of the pooler in session mode"


def judge_connections(seen: Connections) -> Iterator[Finding]:
    """There is room for the listener's connections, on the server, in the database and for the role."""
    limits = (
        (seen.of_server, seen.most_of_server, "the server", ""),
        (seen.of_database, seen.most_of_database, f"database {seen.database}", _of("database", seen.database)),
        (seen.of_role, seen.most_of_role, f"role {seen.role}", _of("role", seen.role)),
    )
    findings = [_room(*limit) for limit in limits]
    if not any(findings):
        yield ok(f"{seen.of_server} of {seen.most_of_server} connections of the server are in use")
    yield from filter(None, findings)


def _of(kind: str, name: str) -> str:
    return f"alter {kind} {identifier(name)} connection limit"


def _room(used: int, most: int | None, whose: str, limit: str) -> Finding | None:
    if most is None or (used < FULL_FROM * most and most - used >= CONNECTIONS_OF_A_LISTENER):
        return None
    sentence = f"{used} of {most} connections of {whose} are in use"
    todo = f"raise it with `{limit} {most * 2}`" if limit else "raise max_connections, or put writers on a pooler"
    if most - used < CONNECTIONS_OF_A_LISTENER:
        return error(f"{sentence}: no room for the {CONNECTIONS_OF_A_LISTENER} of a listener", todo=todo)
    return warning(sentence, todo=todo)


def judge_clocks(seen: Clocks) -> Iterator[Finding]:
    """This machine's clock and the server's agree."""
    apart = abs(seen.ahead_seconds) - seen.uncertain_seconds
    if apart <= CLOCK_SECONDS:
        yield ok("the clocks of this machine and of the database agree")
        return
    which = "ahead of" if seen.ahead_seconds > 0 else "behind"
    sentence = f"the database's clock is {abs(seen.ahead_seconds):.0f} s {which} this machine's"
    yield warning(f"{sentence}: times in the log and on the page mislead", todo="set both by NTP")
