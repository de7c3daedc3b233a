"""The import's thread: runs a step, and turns whatever goes wrong into an event."""

import logging
from datetime import UTC, datetime

import psycopg

from listener.database import UNINSTALLED
from listener.errors import Transient
from listener.events import IMPORT, Event, Failed, Imported, RunImport
from listener.metrics import Metrics
from listener.workflows.import_xml import ImportXml

logger = logging.getLogger(__name__)


class ImportRunner:
    """Runs the import's steps, one at a time. A fault that lasts is logged once, and so is its end."""

    def __init__(self, workflow: ImportXml, metrics: Metrics) -> None:
        self._workflow = workflow
        self._metrics = metrics
        self._fault = ""

    def run(self, action: RunImport) -> Event:
        """Run one step. Never raises."""
        self._metrics.step(IMPORT)
        self._metrics.set_workflow(IMPORT, last_run_at=datetime.now(UTC))
        try:
            report = self._workflow.step(action.source.value, quiet=action.quiet)
        except (Transient, psycopg.Error) as error:
            fault = str(error).strip().split("\n", 1)[0]
            if fault not in (self._fault, UNINSTALLED):  # the latter is said once, for all workflows together
                logger.warning("Import error: %s", fault, extra={"event": "import_error"})
            return self._failed(fault, getattr(error, "retry_after", None))
        except Exception as error:
            logger.exception("Import error: %s", error, extra={"event": "bug"})
            return self._failed("an error of the listener's own, see the log")
        if self._fault:
            logger.info("The import works again", extra={"event": "import_recovered"})
        self._fault = ""
        return Imported(report)

    def _failed(self, fault: str, retry_after: float | None = None) -> Failed:
        self._fault = fault
        self._metrics.error(IMPORT, fault)
        return Failed(IMPORT, fault, retry_after)

    def close(self) -> None:
        """Close the connection, if one is open."""
        self._workflow.close()
