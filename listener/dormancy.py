"""Dormancy: what `idle_policy = allow_sleep` adds to the loop's decisions. Pure.

A database that suspends when nobody asks it anything never does so under a heartbeat of 15 s. So after `idle_after`
seconds without work the listener asks it nothing: no beat, no ping, no sync, no try to lead; the import compares what
its source has with what it remembers. Both sessions are left as they stand. While the server lives, the bell is heard
and ends all this. When the server suspends, it closes them, and they stay closed: the writer that makes it run again
rings for nobody, and its order goes with the next look. That comes an hour after the last one, or when an order's retry
is due, when the source has a new file, or at SIGUSR1; then LISTEN, the lead, a look and a settle follow on each other
as after any reconnect.
"""

from dataclasses import replace
from math import inf

from listener.events import Action, Asked, Beaten, Event, Imported, Job, Nudged, Passed, Phase, Rang, RunUpload, Synced
from listener.state import KEEPALIVE_SECONDS, LOOK_EVERY_SECONDS, State


def is_work(event: Event) -> bool:
    """The event shows that somebody uses the database: dormancy begins `idle_after` seconds after the last of them."""
    match event:
        case Rang() | Nudged():
            return True
        case Passed(report) | Imported(report):
            return report.more or report.done > 0
        case Synced(report):  # a cycle that has changed nothing is none
            return report.done > 0
        case Asked():
            return event.pending
        case Beaten():
            return event.due or event.restless
    return False


def arise(state: State, now: float) -> tuple[State, None]:
    """End dormancy, where it is time; this goes before all else.

    Where the LISTEN session was closed the work session was, too: then all begins anew, with LISTEN.
    """
    if not state.dormant or state.upload.job or _stays_dormant(state, now):
        return state, None
    state = replace(state, dormant=False, ping_at=now if state.listening else inf, look_at=now + LOOK_EVERY_SECONDS)
    upload = replace(state.upload, kept_alive_at=now + KEEPALIVE_SECONDS)
    if not state.listening:
        upload = replace(upload, phase=Phase.STANDBY, x=None, rung=False, rethink=False, silence_due=False)
    if upload.phase is Phase.STANDBY:
        upload = replace(upload, due_at=now)
    return replace(state, upload=upload, beat_at=min(state.beat_at, now + state.heartbeat_seconds)), None


def _stays_dormant(state: State, now: float) -> bool:
    upload = state.upload
    retry_at = upload.retry_at if upload.phase is Phase.ASLEEP else inf
    rested = now >= state.worked_at + state.flags.idle_after
    return rested and _is_at_rest(state) and now < min(state.beat_at, retry_at)


def lie_down(state: State, now: float) -> tuple[State, Action | None]:
    """Begin dormancy, where it is time and nothing else is to be done."""
    if now < dormant_from(state):
        return state, None
    upload = replace(state.upload, job=Job.DOZE, kept_alive_at=inf)
    if upload.phase is Phase.STANDBY:
        upload = replace(upload, due_at=inf)
    state = replace(state, upload=upload, dormant=True, ping_at=inf)
    state = replace(state, beat_at=now + state.heartbeat_seconds)
    return state, RunUpload(Job.DOZE, upload.source)


def dormant_from(state: State) -> float:
    """Return when dormancy begins if nothing happens; inf while something is under way or due. Monotonic seconds."""
    imports, sync, upload = state.imports, state.sync, state.upload
    running = upload.job or imports.running or sync.running or sync.under_way
    owed = upload.silence_due or state.config_rang or state.beat_owed or state.missed_at < inf
    if state.dormant or running or owed or not (_is_at_rest(state) and state.listening):
        return inf
    return state.worked_at + state.flags.idle_after


def _is_at_rest(state: State) -> bool:
    """Only time, a bell or a hand would bring work. Where no bell is heard the heartbeat is all there is."""
    flags, upload = state.flags, state.upload
    if not (flags.idle_policy == "allow_sleep" and flags.fast_polling_enabled and flags.notify_enabled):
        return False
    if state.deaf or upload.muted or not state.configured:
        return False
    match upload.phase:
        case Phase.STANDBY:
            return not upload.lost
        case Phase.RESTING:
            return not state.upload_switched_on
        case phase:
            return phase is Phase.ASLEEP
