"""The sync's thread: runs a step, and turns whatever goes wrong into an event. Each fault is said once."""

import logging
from datetime import UTC, datetime

import psycopg

from listener.database import UNINSTALLED, fault_of
from listener.errors import Transient
from listener.events import SYNC, Event, Failed, RunSync
from listener.flags import Flags
from listener.metrics import Metrics
from listener.workflows.sync_status import SyncStatus

logger = logging.getLogger(__name__)


class SyncRunner:
    """Runs the sync's steps, one at a time."""

    def __init__(self, workflow: SyncStatus, metrics: Metrics) -> None:
        self._workflow = workflow
        self._metrics = metrics
        self._started = False
        self._fault = ""

    def run(self, action: RunSync, flags: Flags) -> Event:
        """Run one step. Never raises."""
        if not self._started:
            self._started = True
            logger.info("Unified sync started (interval=%ds)", flags.sync_interval, extra={"event": "started"})
        self._metrics.step(SYNC)
        self._metrics.set_workflow(SYNC, last_run_at=datetime.now(UTC))
        try:
            synced = self._workflow.step(action.epoch, flags, action.source.value)
        except (Transient, psycopg.Error) as error:
            return self._failed(error, fault_of(error))
        except Exception as error:
            logger.exception("Sync error: %s", error, extra={"event": "bug"})
            return self._failed(error, self._fault)
        if synced.over:
            self._fault = ""
        return synced

    def close(self) -> None:
        """Close the connection, if one is open."""
        self._workflow.close()

    def _failed(self, error: Exception, fault: str) -> Failed:
        if fault not in (self._fault, UNINSTALLED):  # the latter is said once, for all workflows together
            logger.warning("Sync error: %s", fault, extra={"event": "sync_error"})
        self._fault = fault
        if isinstance(error, psycopg.Error):
            self._workflow.close()
        reason = fault or "an error of the listener's own, see the log"
        self._metrics.error(SYNC, reason)
        return Failed(SYNC, reason, getattr(error, "retry_after", None))
