"""How the upload gets from one phase to another: the steps that `transitions` is made of. Pure."""

from dataclasses import replace
from math import inf
from typing import Any

from listener.events import Phase, Source
from listener.state import OLD_BEHAVIOUR_SECONDS, State


def upload_becomes(state: State, **changes: Any) -> State:
    """Return `state` with `changes` in its upload part."""
    return replace(state, upload=replace(state.upload, **changes))


def wake(state: State, source: Source, now: float, *, checked: bool = False) -> State:
    """Return the upload AWAKE and due; `checked`: its look has been taken already."""
    return upload_becomes(
        state, phase=Phase.AWAKE, source=source, due_at=now, x=None, checked=checked, rung=False, backing_off=False
    )


def stay_awake(state: State, until: float) -> State:
    """Put off dormancy: something is to be tried before."""
    return replace(state, worked_at=max(state.worked_at, until - state.flags.idle_after))


def rest(state: State, until: float, *, backing_off: bool = False) -> State:
    """Return the upload at rest under the silence lock, `until` then; inf: until something changes."""
    return upload_becomes(
        state, phase=Phase.RESTING, due_at=until, x=None, rung=False, backing_off=backing_off, silence_due=True
    )


def resume(state: State, source: Source, now: float) -> State:
    """Enter the phase that the flags ask for: after a start or reconnect always by way of a look."""
    starting = source in (Source.STARTUP, Source.RECONNECT)
    if not state.upload_switched_on:
        return rest(state, inf)
    if state.rests_between_passes and not starting:
        return rest_between_passes(state, now)
    return wake(state, source, now)


def rest_between_passes(state: State, now: float) -> State:
    """Rest because no bell may wake the upload: until the next beat, or the next pass of the old behaviour."""
    old_behaviour = state.upload_switched_on and not state.flags.fast_polling_enabled
    return rest(state, now + OLD_BEHAVIOUR_SECONDS if old_behaviour else inf)


def changed(state: State, source: Source, now: float) -> State:
    """Think again, now or as soon as the job under way has ended."""
    if not (state.leading and state.configured):
        return state
    if state.upload.job:
        return upload_becomes(state, rethink=True, source=source)
    return resume(state, source, now)
