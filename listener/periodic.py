"""Import and sync: the workflows that run by the clock, each in a thread of its own. Pure, as `transitions` is.

Each has its own errors and its own backoff, so that the one's failure never delays the other, or the upload.
"""

from dataclasses import replace
from math import inf

from listener.events import IMPORT, SYNC, Failed, Imported, Source, Synced
from listener.retry import WORKFLOW_BACKOFF, seconds_before
from listener.state import State


def periodic_due(state: State, source: Source, now: float) -> State:
    """Return the state of a new leader: both look at once."""
    imports = replace(state.imports, due_at=now, source=source)
    sync = replace(state.sync, due_at=now, source=source, under_way=False, errors=0, backing_off=False)
    return replace(state, imports=imports, sync=sync)


def periodic_after_change(before: State, state: State, now: float) -> State:
    """Put changed flags in force: a new interval counts from the last time, and a backoff ends."""
    imports, sync = state.imports, state.sync
    switched_on = state.enabled - before.enabled
    import_due, sync_due, source = min(imports.due_at, now + state.import_seconds), sync.due_at, sync.source
    if imports.backing_off or IMPORT in switched_on:
        import_due = now
    if sync.backing_off or SYNC in switched_on:
        sync_due, source = now, Source.MANUAL
    elif not sync.under_way and sync.due_at < inf:
        sync_due = max(now, sync.began_at + state.flags.sync_interval)
    return replace(
        state,
        imports=replace(imports, due_at=import_due, errors=0, backing_off=False),
        sync=replace(sync, due_at=sync_due, source=source, errors=0, backing_off=False),
    )


def periodic_nudged(state: State, now: float) -> State:
    """Let both look now, unless they are at it."""
    imports, sync = state.imports, state.sync
    if not imports.running:
        imports = replace(imports, due_at=min(imports.due_at, now), source=Source.MANUAL)
    if not (sync.running or sync.under_way):
        sync = replace(sync, due_at=min(sync.due_at, now), source=Source.MANUAL)
    return replace(state, imports=imports, sync=sync)


def periodic_failed(state: State, event: Failed, now: float) -> State:
    """Back off: 60 s after the first error, and a minute more after each further one, up to five."""
    workflow = state.imports if event.workflow == IMPORT else state.sync
    errors = workflow.errors + 1
    wait = max(event.retry_after or 0, seconds_before(WORKFLOW_BACKOFF, errors))
    if event.workflow == IMPORT:
        imports = replace(state.imports, running=False, errors=errors, due_at=now + wait, backing_off=True)
        return replace(state, imports=replace(imports, fault=event.reason, source=Source.RETRY))
    sync = replace(state.sync, running=False, under_way=False, errors=errors, due_at=now + wait, backing_off=True)
    return replace(state, sync=replace(sync, fault=event.reason, source=Source.RETRY))


def imported(state: State, event: Imported, now: float) -> State:
    """A step of the import has ended well."""
    report, imports = event.report, state.imports
    wait = 0.0 if report.more else min(state.import_seconds, report.retry_after or inf)
    source = imports.source if report.more else Source.RETRY if report.retry_after else Source.HEARTBEAT
    imports = replace(imports, running=False, errors=0, backing_off=False, due_at=now + wait, source=source, fault="")
    return replace(state, imports=imports)


def synced(state: State, event: Synced, now: float) -> State:
    """A step of the sync has ended well. The next cycle is due an interval after this one began."""
    report, sync = event.report, replace(state.sync, running=False, errors=0, backing_off=False, fault="")
    if event.over:
        due_at = max(now, sync.began_at + state.flags.sync_interval)
        return replace(state, sync=replace(sync, under_way=False, due_at=due_at, source=Source.HEARTBEAT))
    return replace(state, sync=replace(sync, due_at=now + (0.0 if report.more else report.retry_after or 0.0)))
