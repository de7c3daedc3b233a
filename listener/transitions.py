"""Where each event leads: one pure function per event, from the state before to the state after.

`ON_EVENT` is the table of them. None starts anything: what is due then, `schedule` sees.
"""

from collections.abc import Callable
from dataclasses import replace
from math import inf
from typing import Any

from listener.events import (
    UPLOAD,
    Asked,
    Beaten,
    BeatFailed,
    Channel,
    Configured,
    Done,
    Failed,
    Imported,
    Job,
    Led,
    Listening,
    ListenLost,
    Nudged,
    Passed,
    Phase,
    Rang,
    SessionLost,
    Source,
    Stirred,
    Stop,
    Synced,
)
from listener.periodic import imported, periodic_after_change, periodic_due, periodic_failed, periodic_nudged, synced
from listener.phases import changed, rest, rest_between_passes, resume, stay_awake, upload_becomes, wake
from listener.retry import WORKFLOW_BACKOFF, seconds_before
from listener.state import KEEPALIVE_SECONDS, LOOK_EVERY_SECONDS, State

FIRST_BEAT_SECONDS = 1.0
"""A new leader's figures (pending, connections, triggers) come from its first beat: soon, and not in an hour."""

LEAD_EVERY_SECONDS = 1.0
PROBE_EVERY_SECONDS = 60.0
MUFFLED_SECONDS = 1.0
MISSED_AFTER_SECONDS = 1.0
PATIENT_AFTER_SECONDS = 10.0


def _rang(state: State, event: Rang, now: float) -> State:
    u = state.upload
    if event.channel in (Channel.FLAGS, Channel.WORKFLOWS):
        return replace(state, config_rang=True)
    if event.channel == Channel.LEADER:
        trying = u.job is Job.LEAD  # in vain perhaps, a moment too early
        return state if state.leading else upload_becomes(state, due_at=now, rung=trying)
    state = replace(state, missed_at=inf)
    if u.phase not in (Phase.ASLEEP, Phase.SETTLING):
        return state  # AWAKE looks again before it sleeps; RESTING would not act on it
    return upload_becomes(state, rung=True) if u.job else wake(state, Source.NOTIFY, now)


def _listening(state: State, event: Listening, now: float) -> State:
    state = replace(
        state,
        listening=True,
        connecting=False,
        deaf=event.deaf,
        ping_at=now + KEEPALIVE_SECONDS,
        probe_at=now + PROBE_EVERY_SECONDS if event.deaf else inf,
        beat_at=min(state.beat_at, now + state.heartbeat_seconds),
        config_rang=True,
    )
    if not state.leading:  # the server lets us in: the pause before the next try to lead has lost its reason
        return upload_becomes(state, due_at=now)
    return changed(state, Source.RECONNECT, now)


def _listen_lost(state: State, _: ListenLost, now: float) -> State:
    state = replace(state, listening=False, ping_at=inf)
    return state if state.dormant else changed(state, Source.RECONNECT, now)


def _nudged(state: State, _: Nudged, now: float) -> State:
    u, state = state.upload, periodic_nudged(state, now)
    if not state.leading:
        return upload_becomes(state, due_at=now)
    if u.job:
        return upload_becomes(state, rethink=True, source=Source.MANUAL)
    return wake(state, Source.MANUAL, now) if state.upload_switched_on else state


def _configured(state: State, event: Configured, now: float) -> State:
    before, was_backing_off = state, state.upload.backing_off
    beat_at = state.beat_at if state.configured or state.leading else inf  # it keeps time by the first flags read
    state = replace(state, configured=True, beat_at=beat_at)
    state = replace(state, flags=event.flags, enabled=event.enabled, requeued=event.requeued)
    state = replace(state, beat_at=min(state.beat_at, now + state.heartbeat_seconds))
    same_flags = (event.flags, event.enabled) == (before.flags, before.enabled)
    if not same_flags:
        state = periodic_after_change(before, state, now)
    if state.leading and not before.configured:
        return changed(state, Source.RECONNECT, now)
    if same_flags and (event.requeued == before.requeued or not before.configured):
        return state
    state = upload_becomes(state, errors=0)
    if was_backing_off or _upload_terms(before) != _upload_terms(state):  # a flag, or requeue, ends a backoff
        state = changed(state, Source.MANUAL, now)
    return state


def _upload_terms(state: State) -> tuple[object, ...]:
    flags = state.flags
    return (
        state.upload_switched_on,
        flags.fast_polling_enabled,
        flags.notify_enabled,
        flags.api_calls_per_hour,
        flags.max_order_age_days,
        flags.manual_order_pattern,
    )


def _led(state: State, event: Led, now: float) -> State:
    if not event.leading:
        due_at = now if state.upload.rung else now + LEAD_EVERY_SECONDS
        return upload_becomes(state, job=None, due_at=due_at, lost="", rung=False)
    source = Source.RECONNECT if state.upload.led_before else Source.STARTUP
    state = upload_becomes(state, job=None, led_before=True, rethink=False, lost="", rung=False)
    state = upload_becomes(state, kept_alive_at=now + KEEPALIVE_SECONDS)
    state = replace(state, foreign=event.foreign, epoch=event.epoch, look_at=now + LOOK_EVERY_SECONDS)
    state = replace(state, beat_at=min(state.beat_at, now + FIRST_BEAT_SECONDS))
    state = stay_awake(state, now + FIRST_BEAT_SECONDS)
    state = periodic_due(state, source, now)
    if source is Source.STARTUP:
        return resume(state, source, now)
    # The tables may have been taken away and put back, and nothing rang meanwhile: flags and switches are read first.
    return rest(upload_becomes(replace(state, configured=False, config_rang=True), retry_at=inf), inf)


def _job_ended(state: State, now: float) -> tuple[State, State | None]:
    """Return the state without its job and, where the world changed meanwhile, the state to go on from instead."""
    u = state.upload
    keep_alive_at = inf if state.dormant else now + KEEPALIVE_SECONDS
    state = upload_becomes(state, job=None, rethink=False, rung=False, kept_alive_at=keep_alive_at)
    if u.rethink:
        return state, resume(state, u.source if u.source is Source.RECONNECT else Source.MANUAL, now)
    if u.rung:
        return state, wake(state, Source.NOTIFY, now)
    return state, None


def _passed(state: State, event: Passed, now: float) -> State:
    state, instead = _job_ended(upload_becomes(state, rung=False, errors=0, backing_off=False), now)
    wait = event.report.retry_after
    state = upload_becomes(instead or state, retry_at=inf if wait is None else now + wait, checked=False)
    if instead:
        return state
    if event.report.more:
        return upload_becomes(state, due_at=now)
    if event.rest_for is not None:
        return rest(state, now + event.rest_for)
    if state.rests_between_passes:
        return rest_between_passes(state, now)
    return upload_becomes(state, phase=Phase.SETTLING, x=None, settling_since=now, due_at=now)


def _asked(state: State, event: Asked, now: float) -> State:
    state, instead = _job_ended(state, now)
    if instead:
        return instead
    if event.x is None:  # somebody silences the writers who is not us: no sleep while that lasts
        return upload_becomes(state, phase=Phase.AWAKE, due_at=now + MUFFLED_SECONDS, x=None)
    if event.pending:
        return wake(state, state.upload.source, now)
    if event.settled:
        return upload_becomes(state, phase=Phase.ASLEEP, due_at=inf, x=None)
    pause = pause_before_asking(now - state.upload.settling_since)
    return upload_becomes(state, x=event.x, due_at=now + pause)


def pause_before_asking(settling_for: float) -> float:
    """Return how long to leave open writers alone: 0.5 ms doubling to 10 ms for 2 s, 100 ms until 10 s, then 1 s."""
    if settling_for < 2:
        return min(max(0.0005, settling_for), 0.010)
    return 0.1 if settling_for < PATIENT_AFTER_SECONDS else 1.0


def _beaten(state: State, event: Beaten, now: float) -> State:
    was_check, phase = state.beat_is_check, state.upload.phase
    rethink = state.upload.rethink or event.foreign != state.foreign
    state = upload_becomes(replace(state, foreign=event.foreign), muted=event.muted, rethink=rethink)
    state, instead = _job_ended(state, now)
    state = replace(state, beat_at=min(state.beat_at, now + state.heartbeat_seconds))
    if instead:
        return replace(instead, beat_at=state.beat_at)
    found = event.due and was_check
    if found and event.fresh and phase is Phase.ASLEEP:
        state = replace(state, missed_at=now + MISSED_AFTER_SECONDS)
    # Writers whom a stranger silenced since our mark are not counted in it: another settle does, when he has gone.
    silenced = event.muted and phase in (Phase.ASLEEP, Phase.SETTLING)
    return wake(state, Source.HEARTBEAT, now, checked=was_check) if found or silenced else state


def _beat_failed(state: State, _: BeatFailed, now: float) -> State:
    """Go back to the lock, as after any error, and look after a pause."""
    state, instead = _job_ended(state, now)
    if state.upload.phase in (Phase.RESTING, Phase.STANDBY):
        return instead or state
    if not state.upload_switched_on:
        return rest(state, inf)
    return upload_becomes(wake(state, Source.RETRY, now), due_at=now + MUFFLED_SECONDS)


def _done(state: State, _: Done, now: float) -> State:
    state, instead = _job_ended(state, now)
    return instead or state


def _failed(state: State, event: Failed, now: float) -> State:
    if event.workflow != UPLOAD:
        return periodic_failed(state, event, now)
    state, _ = _job_ended(state, now)
    errors = state.upload.errors + 1
    state = upload_becomes(state, errors=errors, fault=event.reason, source=Source.RETRY, checked=False)
    until = now + max(event.retry_after or 0, seconds_before(WORKFLOW_BACKOFF, errors))
    on = state.upload_switched_on  # or no longer: then there is no time to begin again
    return rest(state, until if on else inf, backing_off=on)


def _stirred(state: State, _: Stirred, now: float) -> State:
    """Ask the work session something, now: that shows whether it is still there. When dormant, with the next look."""
    return state if state.dormant else upload_becomes(state, kept_alive_at=now)


def _session_lost(state: State, event: SessionLost, now: float) -> State:
    gone = {"job": None, "x": None, "rung": False, "rethink": False, "silence_due": False}
    due_at = now + event.retry_in
    state = stay_awake(state, due_at + LEAD_EVERY_SECONDS)
    return upload_becomes(state, phase=Phase.STANDBY, due_at=due_at, lost=event.reason, **gone)


def _stop(state: State, _: Stop, __: float) -> State:
    return replace(state, stopping=True)


ON_EVENT: dict[type, Callable[[State, Any, float], State]] = {
    Rang: _rang,
    Listening: _listening,
    ListenLost: _listen_lost,
    Configured: _configured,
    Led: _led,
    Passed: _passed,
    Asked: _asked,
    Beaten: _beaten,
    BeatFailed: _beat_failed,
    Done: _done,
    Failed: _failed,
    Stirred: _stirred,
    SessionLost: _session_lost,
    Imported: imported,
    Synced: synced,
    Nudged: _nudged,
    Stop: _stop,
}
