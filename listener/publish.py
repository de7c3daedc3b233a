"""From the loop's state to the figures that are served: what /status.json says comes from here and the counters."""

import logging
from datetime import UTC, datetime, timedelta
from math import isinf

from listener.ages import FirstSeen
from listener.database import UNINSTALLED
from listener.events import IMPORT, SYNC, UPLOAD, Event, Led, Phase, SessionLost
from listener.metrics import Metrics
from listener.snapshot import Fields
from listener.state import Import, State, Sync
from listener.store.progress import BeatRow

logger = logging.getLogger(__name__)

THIS_IS_PRODUCTION = "listener install --this-is-production"


UNKNOWN: Fields = {
    "pending": 0,
    "oldest_pending_seconds": 0.0,
    "held_back": 0,
    "db_connections": 0,
    "api_used_last_hour": 0,
}
"""What only a leader's beats see: of one that stands by, the last of it would be shown for ever."""


class Publisher:
    """Tells `metrics` what the loop knows. Belongs to the main thread."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._first_seen = FirstSeen()
        self._published: State | None = None
        self.degraded: list[str] = []
        self._stale = False  # something else that is shown has changed
        self._missing_triggers: list[str] = []
        self._muted_by: int | None = None
        self._muffled_by: int | None = None

    def publish(self, state: State, now: float) -> None:
        """Show the state, if it has changed."""
        if state == self._published and not self._stale:
            return
        self._stale = False
        before, self._published = self._published or State(), state
        self._log_uninstalled(before, state)
        if before.leading and not state.leading:
            self._metrics.set(**UNKNOWN)
            self._metrics.set_workflow(UPLOAD, progress=None)
        _log_backoffs(before, state, now)
        _log_hold(before, state)
        _log_dormancy(before, state)
        self.degraded = self._degraded(state)
        self._metrics.set(
            role="leader" if state.leading else "standby",
            listening=state.listening,
            deaf=state.deaf,
            degraded=self.degraded,
            flags=state.flags,
            api_limit=state.flags.api_calls_per_hour,
        )
        upload, imports = state.upload, state.imports
        self._metrics.set_workflow(
            UPLOAD,
            enabled=UPLOAD in state.enabled,
            state=_upload_state(state),
            next_due_at=_instant(min(upload.due_at, upload.retry_at, state.beat_at), now),
            backoff_until=_instant(upload.due_at, now) if upload.backing_off else None,
        )
        self._metrics.set_workflow(
            IMPORT,
            enabled=IMPORT in state.enabled,
            state=_import_state(state),
            next_due_at=_instant(imports.due_at, now) if imports.available else None,
            backoff_until=_instant(imports.due_at, now) if imports.backing_off else None,
        )
        sync = state.sync
        self._metrics.set_workflow(
            SYNC,
            enabled=SYNC in state.enabled,
            state=_sync_state(state),
            next_due_at=_instant(max(sync.due_at, state.beat_at) if state.dormant else sync.due_at, now)
            if sync.available
            else None,
            backoff_until=_instant(sync.due_at, now) if sync.backing_off else None,
        )

    def lead(self, event: Event) -> None:
        """Show who leads, if the event tells; of whom, without a session, nobody knows."""
        if isinstance(event, Led | SessionLost):
            self._metrics.set(leader=event.leader if isinstance(event, Led) else None)

    def triggers(self, missing: list[str]) -> None:
        """Show which triggers do not stand, as a beat or a look saw them."""
        self._log_triggers(missing)
        self._stale |= missing != self._missing_triggers
        self._missing_triggers = missing

    def beat(self, seen: BeatRow, now: float, muffled_by: int | None = None) -> None:
        """Show what a beat saw. `muffled_by`: who has kept the silence lock from us for a minute."""
        self.triggers(seen.missing_triggers)
        before = self._muted_by, self._muffled_by
        self._muted_by, self._muffled_by = seen.muted_by, muffled_by
        self._stale |= before != (seen.muted_by, muffled_by)
        self._metrics.set(
            pending=seen.pending,
            oldest_pending_seconds=round(self._first_seen.look(seen.oldest_id, seen.newest_id, now), 3),
            held_back=seen.held_back,
            db_connections=seen.connections,
            api_used_last_hour=seen.api_calls,
        )

    def _degraded(self, state: State) -> list[str]:
        reasons = []
        if state.foreign:
            reasons.append(
                f"held, nothing is uploaded: this looks like a restored copy ({state.foreign}); if this is production,"
                f" run `{THIS_IS_PRODUCTION}` with the listener's own LISTEN_DATABASE_URL"
            )
        if not (state.listening or state.dormant):
            reasons.append("not listening: the LISTEN session is lost, reconnecting")
        if state.upload.lost and not state.leading:
            reasons.append(f"no work session, trying on: {state.upload.lost}")
        if state.deaf:
            reasons.append("deaf: LISTEN is not heard on this host, set LISTEN_DATABASE_URL to a direct one")
        if self._muted_by is not None:
            reasons.append(f"muted by pid {self._muted_by}: it holds the silence lock, so no writer rings")
        elif self._muffled_by is not None:
            reasons.append(
                f"muffled: pid {self._muffled_by} keeps the silence lock from us, so that every writer rings while we"
                " are awake; orders go all the same"
            )
        if self._missing_triggers:
            reasons.append(
                f"triggers missing, disabled or altered: {', '.join(self._missing_triggers)}; run `listener install`"
            )
        if state.upload.backing_off:
            reasons.append(f"upload backs off after error #{state.upload.errors}: {state.upload.fault}")
        if state.imports.backing_off:
            reasons.append(f"import backs off after error #{state.imports.errors}: {state.imports.fault}")
        if state.sync.backing_off:
            reasons.append(f"sync backs off after error #{state.sync.errors}: {state.sync.fault}")
        return reasons

    def _log_uninstalled(self, before: State, after: State) -> None:
        if _is_uninstalled(after) and not _is_uninstalled(before):
            # In a rollback of everything the bell goes first, and its line has named the command.
            text = UNINSTALLED.partition(":")[0] if self._missing_triggers else UNINSTALLED
            logger.warning("Waiting: %s", text, extra={"event": "uninstalled"})
        elif _is_uninstalled(before) and not _is_uninstalled(after):
            logger.info("The listener's own tables are there again", extra={"event": "installed"})

    def _log_triggers(self, missing: list[str]) -> None:
        if missing and not self._missing_triggers:
            text = "The bell is off, orders go with the heartbeat: %s missing or altered; run `listener install`"
            logger.warning(text, ", ".join(missing), extra={"event": "bell_off"})
        elif self._missing_triggers and not missing:
            logger.info("The bell is on again: all triggers stand", extra={"event": "bell_on"})


def _is_uninstalled(state: State) -> bool:
    """What `listener install` makes is gone, as the upload or the import has found."""
    if not state.leading:
        return state.upload.lost == UNINSTALLED
    faults = {IMPORT: state.imports.fault, SYNC: state.sync.fault}
    return any(name in state.enabled and fault == UNINSTALLED for name, fault in faults.items())


def _log_backoffs(before: State, after: State, now: float) -> None:
    for was, is_ in ((before.upload, after.upload), (before.imports, after.imports), (before.sync, after.sync)):
        if is_.backing_off and is_.errors > was.errors:
            text = "Backing off %ds after error #%d"
            logger.warning(text, round(is_.due_at - now), is_.errors, extra={"event": "backoff"})


def _log_hold(before: State, after: State) -> None:
    if after.foreign and after.foreign != before.foreign:
        text = "Uploads are held, since this looks like a restored copy: %s. If this is production, run `%s`"
        logger.error(text, after.foreign, THIS_IS_PRODUCTION, extra={"event": "held"})
    elif before.foreign and not after.foreign:
        logger.info("Uploads go on: this is production now", extra={"event": "held_no_more"})


def _upload_state(state: State) -> str:
    if state.upload.lost and not state.leading:
        return "lost"
    if UPLOAD not in state.enabled:
        return "disabled"
    if state.foreign:
        return "held"
    if state.dormant:
        return "dormant"
    return "backoff" if state.upload.backing_off else state.upload.phase.value


def _import_state(state: State) -> str:
    return _state_of(state, state.imports, IMPORT)


def _sync_state(state: State) -> str:
    return _state_of(state, state.sync, SYNC, instead="held" if state.foreign else "dormant" if state.dormant else "")


def _state_of(state: State, workflow: Import | Sync, name: str, instead: str = "") -> str:
    """Return the word for a workflow that runs by the clock; `instead`: why it does not, though it is switched on."""
    if not workflow.available:
        return "off"
    if name not in state.enabled:
        return "disabled"
    if instead:
        return instead
    if workflow.backing_off:
        return "backoff"
    return "running" if workflow.running else "waiting" if state.upload.phase is not Phase.STANDBY else "standby"


def _log_dormancy(before: State, after: State) -> None:
    if after.dormant and not before.dormant:
        text = "No work for %ds: the database may sleep. The next look is in an hour, or at a file, a bell or SIGUSR1"
        logger.info(text, after.flags.idle_after, extra={"event": "dormant"})


def _instant(at: float, now: float) -> datetime | None:
    return None if isinf(at) else datetime.now(UTC) + timedelta(seconds=at - now)
