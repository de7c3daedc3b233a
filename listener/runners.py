"""The import's and the sync's runners, put together from the settings."""

from collections.abc import Callable
from pathlib import Path

from listener.budget import SharedWindow
from listener.database import Connection, connect_step
from listener.metrics import Metrics
from listener.settings import DriveFolder, Settings
from listener.shipstation.client import ShipStation
from listener.sources.folder import Folder
from listener.sources.source import OrderSource
from listener.workflows.import_xml import ImportXml
from listener.workflows.run_import import ImportRunner
from listener.workflows.run_sync import SyncRunner
from listener.workflows.sync_status import SyncStatus


def import_runner(settings: Settings, name: str, metrics: Metrics, give_way: Callable[[], None]) -> ImportRunner | None:
    """Return the import of ORDER_SOURCE, None without one. `name`: of its connections."""
    match settings.order_source:
        case None:
            return None
        case DriveFolder() as folder:
            from listener.sources.drive.open import open_folder  # noqa: PLC0415  it brings google-auth, 10 MB

            source: OrderSource = open_folder(folder.folder_id, folder.base_url, folder.key, folder.read_key)
        case path:
            source = Folder(Path(path))
    workflow = ImportXml(lambda: connect_step(settings.database_url, name), source, metrics, give_way)
    return ImportRunner(workflow, metrics)


def sync_runner(
    settings: Settings, name: str, shipstation: ShipStation, metrics: Metrics, window: SharedWindow
) -> SyncRunner:
    """Return the sync. `name`: of its connections; `window`: shared with the upload."""

    def connect() -> Connection:
        return connect_step(settings.database_url, name)

    return SyncRunner(SyncStatus(connect, shipstation, metrics, window=window), metrics)
