"""The import's thread: runs a step, and turns whatever goes wrong into an event."""

import logging
from datetime import UTC, datetime

import psycopg

from listener.errors import Transient
from listener.events import IMPORT, Event, Failed, Imported, RunImport
from listener.metrics import Metrics
from listener.workflows.import_xml import ImportXml

logger = logging.getLogger(__name__)


class ImportRunner:
    """Runs the import's steps, one at a time."""

    def __init__(self, workflow: ImportXml, metrics: Metrics) -> None:
        self._workflow = workflow
        self._metrics = metrics

    def run(self, action: RunImport) -> Event:
        """Run one step. Never raises."""
        self._metrics.step(IMPORT)
        self._metrics.set_workflow(IMPORT, last_run_at=datetime.now(UTC))
        try:
            report = self._workflow.step(action.source.value)
        except (Transient, psycopg.Error) as error:
            fault = str(error).strip().split("\n", 1)[0]
            logger.warning("Import error: %s", fault, extra={"event": "import_error"})
        except Exception as error:
            fault = "an error of the listener's own, see the log"
            logger.exception("Import error: %s", error, extra={"event": "bug"})
        else:
            return Imported(report)
        self._metrics.error(IMPORT, fault)
        return Failed(IMPORT, fault)

    def close(self) -> None:
        """Close the connection, if one is open."""
        self._workflow.close()
