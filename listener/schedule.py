"""What to do next: a pure function from (state, events, now) to (new state, actions).

No clock, no socket, no database: `now` is monotonic seconds and comes in. Events are folded into the state one by one
(`transitions`), then whatever is due and idle is started. One step of a workflow is under way at a time; its end is an
event. `state` draws the phases of the upload.
"""

from collections.abc import Iterable
from dataclasses import replace
from math import inf

from listener.dormancy import arise, dormant_from, is_work, lie_down
from listener.events import Action, Event, Job, Phase, RunImport, RunSync, RunUpload, Simple, Source
from listener.phases import upload_becomes, wake
from listener.state import KEEPALIVE_SECONDS, LOOK_EVERY_SECONDS, State
from listener.transitions import ON_EVENT, PATIENT_AFTER_SECONDS


def react(state: State, events: Iterable[Event], now: float) -> tuple[State, tuple[Action, ...]]:
    """Fold `events` into `state`, then start what is due: the whole decision of the loop."""
    worked = False
    for event in events:
        state = ON_EVENT[type(event)](state, event, now)
        worked |= is_work(event)
    state = replace(state, worked_at=now if worked else min(state.worked_at, now))
    if state.stopping:
        idle = state.upload.job is None and not state.imports.running and not state.sync.running
        return state, (Simple.QUIT,) if idle else ()
    actions: list[Action] = []
    # A long drain must not starve the beat.
    for due in (arise, _link, _ping, _config, _missed, _beat, _upload, _import, _sync, lie_down):
        state, action = due(state, now)
        actions += [action] if action else []
    return state, tuple(actions)


def next_due(state: State) -> float:
    """Return when `react` has something to do even if nothing happens; monotonic seconds."""
    if state.stopping:
        return inf
    if not (state.listening or state.connecting or state.dormant):
        return 0.0
    u, times = state.upload, [state.ping_at, state.probe_at, state.beat_at, state.missed_at, dormant_from(state)]
    if u.job is None and state.leading and not state.dormant:
        times.append(state.look_at)
    if u.job is None and state.may_work:
        times += [u.due_at, u.kept_alive_at if state.leading else inf, u.retry_at if _heeds_retries(state) else inf]
    if state.import_may_run:
        times.append(state.imports.due_at)
    if state.sync_may_run:
        times.append(state.sync.due_at)
    return min(times)


def _link(state: State, now: float) -> tuple[State, Action | None]:
    if not (state.connecting or state.dormant) and (not state.listening or now >= state.probe_at):
        return replace(state, connecting=True, probe_at=inf), Simple.CONNECT
    return state, None


def _ping(state: State, now: float) -> tuple[State, Action | None]:
    if state.listening and now >= state.ping_at:
        return replace(state, ping_at=now + KEEPALIVE_SECONDS), Simple.PING_LISTEN
    return state, None


def _config(state: State, now: float) -> tuple[State, Action | None]:
    if state.config_rang and state.listening:
        return replace(state, config_rang=False), Simple.READ_CONFIG
    return state, None


def _missed(state: State, now: float) -> tuple[State, Action | None]:
    if now < state.missed_at:
        return state, None
    return replace(state, missed_at=inf), Simple.NOTE_MISSED


def _upload(state: State, now: float) -> tuple[State, Action | None]:
    u = state.upload
    if u.job or not state.may_work:
        return state, None
    if u.silence_due:
        return _start(upload_becomes(state, silence_due=False), Job.SILENCE)
    if now >= u.retry_at and _heeds_retries(state):
        state = upload_becomes(wake(state, Source.RETRY, now), retry_at=inf)
    elif now >= u.due_at and u.phase is Phase.RESTING:
        old_behaviour = not state.flags.fast_polling_enabled and not u.backing_off
        state = wake(state, Source.HEARTBEAT if old_behaviour else Source.RETRY, now)
    u = state.upload
    if now < u.due_at:
        return state, None
    if u.phase is Phase.SETTLING:
        return _start(state, Job.SETTLE if u.x is None else Job.ASK, patient_since=now - u.settling_since)
    return _start(state, {Phase.STANDBY: Job.LEAD, Phase.AWAKE: Job.PASS}[u.phase])


def _heeds_retries(state: State) -> bool:
    """An order that waits for a time wakes the upload, unless it is switched off, backing off or without budget."""
    u = state.upload
    at_rest = u.phase is Phase.RESTING and u.due_at == inf and state.beat_is_check
    return at_rest or u.phase in (Phase.ASLEEP, Phase.SETTLING)


def _beat(state: State, now: float) -> tuple[State, Action | None]:
    u = state.upload
    if now >= state.beat_at:
        state = replace(state, beat_at=now + state.heartbeat_seconds, beat_owed=state.leading)
        if u.job or not state.leading:
            return state, Simple.LOOK_AT_CONFIG
    if u.job or not state.leading:
        return state, None
    if state.beat_owed:
        return _start(replace(state, beat_owed=False, look_at=now + LOOK_EVERY_SECONDS), Job.BEAT)
    if now >= state.look_at and not state.dormant:
        return _start(replace(state, look_at=now + LOOK_EVERY_SECONDS), Job.LOOK)
    return _start(state, Job.PING) if now >= u.kept_alive_at else (state, None)


def _start(state: State, job: Job, *, patient_since: float = 0.0) -> tuple[State, Action]:
    u = state.upload
    check = state.beat_is_check if job is Job.BEAT else state.flags.fast_polling_enabled and not u.checked
    finish = job is Job.BEAT and state.upload_paused
    patient = patient_since >= PATIENT_AFTER_SECONDS
    action = RunUpload(job, u.source, check=check, silence=state.hearing, x=u.x, patient=patient, finish=finish)
    return upload_becomes(state, job=job), action


def _import(state: State, now: float) -> tuple[State, Action | None]:
    imports = state.imports
    if not state.import_may_run or now < imports.due_at:
        return state, None
    return replace(state, imports=replace(imports, running=True)), RunImport(imports.source, state.dormant)


def _sync(state: State, now: float) -> tuple[State, Action | None]:
    sync = state.sync
    if not state.sync_may_run or now < sync.due_at:
        return state, None
    began_at = sync.began_at if sync.under_way else now
    sync = replace(sync, running=True, under_way=True, began_at=began_at)
    return replace(state, sync=sync), RunSync(sync.source, state.epoch)
