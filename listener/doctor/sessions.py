"""Judges of other people's sessions: who mutes the writers, fills the NOTIFY queue, forgot a transaction. Pure.

A session is ended by SQL that may run unseen only when it does harm now, or only sits in a transaction that somebody
forgot. One that works is left to a person.
"""

import re
from collections.abc import Iterator

from listener.doctor.findings import Finding, error, info, ok, shown, warning
from listener.doctor.quoting import identifier, literal
from listener.doctor.seen.server import Lock, Locks, Prepared, Queue, Session, SilentWriters, Transactions
from listener.locks import LEADER_KEY, SILENCE_KEY
from listener.story.wording import instant, span

OURS = re.compile(r"listener [0-9a-f]+ work")
"""How the work session of a listener is called."""

QUEUE_HIGH, QUEUE_LOW = 0.5, 0.1
"""From the first on the server warns too; at 0.9 our triggers stay silent, and at 1 a COMMIT that rings fails."""

OLD_SECONDS = 600.0
PREPARED_SECONDS = 300.0
LOCKED_SECONDS = 10.0
"""A transaction, a prepared one, a locked table: from then on they are worth a line."""

FORGOTTEN_SECONDS = 600.0
"""A transaction in which nothing has happened for so long is forgotten."""


def who(session: Session) -> str:
    """Return a session as a sentence names it."""
    if session.pid is None:
        return "a prepared transaction"
    known = [f"role {session.role}" if session.role else "", session.application, session.address]
    about = ", ".join(shown(word) for word in known if word)
    return f"pid {session.pid}{f' ({about})' if about else ''}"


def ending(session: Session) -> str:
    """Return the SQL that ends this session, and no later one of the same pid; '' for a prepared transaction."""
    if session.pid is None:
        return ""
    end = f"select pg_terminate_backend({session.pid})"
    if session.started is None:
        return f"{end};"
    began = literal(session.started.isoformat(sep=" "))
    same = f"select from pg_stat_activity where pid = {session.pid} and backend_start = {began}"
    return f"{end} where exists ({same});"


def is_forgotten(session: Session) -> bool:
    """It sits in a transaction and does nothing."""
    idle = session.state.startswith("idle in transaction")
    return idle and (session.still_seconds or 0) >= FORGOTTEN_SECONDS


def judge_locks(seen: Locks) -> Iterator[Finding]:
    """Only who leads holds the two keys."""
    leaders = [lock for lock in seen.locks if lock.key == LEADER_KEY and lock.exclusive]
    silencers = [lock for lock in seen.locks if lock.key == SILENCE_KEY and lock.exclusive]
    findings = [_usurper(seen, lock) for lock in leaders]
    findings += [_mute(lock, {leader.session.pid for leader in leaders}) for lock in silencers]
    findings += [_muffle(lock) for lock in seen.locks if not lock.exclusive and lock.session.pid in seen.lasting]
    if not any(findings):
        yield ok("nobody else holds the listener's locks")
    yield from filter(None, findings)
    yield from _leader(seen, leaders)


def _usurper(seen: Locks, lock: Lock) -> Finding | None:
    known = seen.lead is not None and seen.lead.pid == lock.session.pid
    if known or OURS.fullmatch(lock.session.application):
        return None
    sentence = f"{who(lock.session)} holds the leader's lock and is no listener: none can lead"
    return error(sentence, *filter(None, [ending(lock.session)]))


def _mute(lock: Lock, leaders: set[int | None]) -> Finding | None:
    if lock.session.pid in leaders:
        return None
    sentence = f"muted: {who(lock.session)} holds the silence lock and does not lead, so no writer rings"
    return error(sentence, *filter(None, [ending(lock.session)]))


def _muffle(lock: Lock) -> Finding:
    name = "silence" if lock.key == SILENCE_KEY else "leader's"
    harm = "writers ring at every order" if lock.key == SILENCE_KEY else "no listener can lead"
    sentence = f"muffled: {who(lock.session)} keeps the {name} lock, shared: {harm}"
    return error(sentence, *filter(None, [ending(lock.session)]))


def _leader(seen: Locks, leaders: list[Lock]) -> Iterator[Finding]:
    lead = seen.lead
    if lead is None:
        return  # its row is missing, as `verify` says
    since = f" since {instant(lead.since)}" if lead.since else ""
    for lock in leaders:
        if lock.session.pid == lead.pid:
            yield ok(f"{lead.holder} leads{since} (epoch {lead.epoch}): {who(lock.session)}")
            return
    if lead.has_lease:
        yield ok(f"{lead.holder} leads by a lease{since} (epoch {lead.epoch}), since it is deaf")
    else:
        yield info("no listener leads at the moment", "`listener run` starts one")


def judge_queue(seen: Queue) -> Iterator[Finding]:
    """The NOTIFY queue is emptied; if not, who is in the way."""
    if seen.usage < QUEUE_LOW:
        yield ok(f"the NOTIFY queue is {seen.usage:.0%} full")
        return
    found = error if seen.usage >= QUEUE_HIGH else warning
    sentence = f"the NOTIFY queue is {seen.usage:.0%} full (at 90% orders no longer ring, at 100% their COMMIT fails)"
    if seen.named is not None:
        yield found(f"{sentence}; {who(seen.named)} keeps it from being emptied{_open(seen.named)}", ending(seen.named))
    elif seen.suspects:
        first, *others = seen.suspects
        more = f", or else {' or '.join(map(who, others))}" if others else ""
        sql = [ending(first)] if is_forgotten(first) else []
        todo = "" if sql else f"if it is not needed, end it: `{ending(first)}`"
        yield found(f"{sentence}; {who(first)} may keep it from being emptied{_open(first)}{more}", *sql, todo=todo)
    else:
        yield found(sentence, todo="look again in a minute: nobody is in the way any more")


def _open(session: Session) -> str:
    return f", in a transaction for {span(session.open_seconds)}" if session.open_seconds is not None else ""


def judge_transactions(seen: Transactions) -> Iterator[Finding]:
    """Nobody has forgotten a transaction, and nobody keeps our tables locked."""
    if not (seen.old or seen.prepared or seen.table_locks):
        yield ok("no transaction has been open for long")
    for session in seen.old:
        yield _old(session)
    for prepared in seen.prepared:
        yield _prepared(prepared)
    for lock in seen.table_locks:
        sentence = f"{who(lock.session)} keeps {lock.table} locked ({lock.mode}){_open(lock.session)}: others wait"
        yield _to_be_ended(lock.session, sentence)


def _old(session: Session) -> Finding:
    doing = f"{session.state or 'in a transaction'} in database {shown(session.database)}"
    harm = "VACUUM keeps what it may still see, and the listener falls asleep with more questions"
    return _to_be_ended(session, f"{who(session)} is {doing}{_open(session)}: {harm}")


def _to_be_ended(session: Session, sentence: str) -> Finding:
    if is_forgotten(session):
        return warning(sentence, *filter(None, [ending(session)]))
    todo = f"if it is not needed, end it: `{ending(session)}`" if session.pid else "commit it or roll it back"
    return warning(sentence, todo=todo)


def _prepared(prepared: Prepared) -> Finding:
    name, age = shown(prepared.gid), span(prepared.seconds)
    gid = literal(prepared.gid)
    sentence = f"prepared transaction {name} of {prepared.owner} is neither committed nor rolled back for {age}"
    todo = f"in database {shown(prepared.database)}: `commit prepared {gid};` or `rollback prepared {gid};`"
    return warning(f"{sentence}; it keeps its locks, and VACUUM keeps what it may still see", todo=todo)


def judge_silent_writers(seen: SilentWriters) -> Iterator[Finding]:
    """Everybody's orders ring. Those of the others go with the heartbeat."""
    if seen.whole_server != "origin":
        sentence = f"session_replication_role is {seen.whole_server} for the whole server: no trigger fires"
        yield error(sentence, todo="take it out of postgresql.conf")
    for setting in seen.settings:
        everybody = not setting.role
        whose = f"role {shown(setting.role)}" if setting.role else "every role"
        why = f"{setting.name} = {shown(setting.value)}"
        sentence = f"orders of {whose} do not ring ({why}): they go with the heartbeat"
        target = f"role {identifier(setting.role)}" if setting.role else "role all"
        where = f" in database {identifier(setting.database)}" if setting.database else ""
        reset = f"alter {target}{where} reset {setting.name};"
        yield warning(sentence, reset) if everybody else info(sentence, f"if that is not meant: `{reset}`")
    for name in seen.subscriptions:
        sentence = f"subscription {shown(name)} writes to orders_inbox, and replication fires no statement's trigger"
        yield info(f"{sentence}: its orders go with the heartbeat")
    if seen == SilentWriters((), (), "origin"):
        yield ok("no role and no subscription writes orders without ringing")
