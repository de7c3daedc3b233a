"""A folder of a simulated Drive as the listener reads it, in the test's own process: no pause is really made."""

import time
from collections.abc import Callable, Mapping

from listener.settings import DriveFolder, read_settings
from listener.sources.drive.api import DriveApi
from listener.sources.drive.source import Drive
from listener.sources.drive.tokens import Tokens
from listener.sources.drive.web import Web
from listener.sources.source import SourceFile


def folder_of(environment: Mapping[str, str], **changed: str) -> DriveFolder:
    """Return the folder that a simulator's `environment` names, as the settings have it."""
    ours = {"DATABASE_URL": "postgresql:///x", "SHIPSTATION_API_KEY": "key-x", "SHIPSTATION_API_SECRET": "secret-x"}
    folder = read_settings({**ours, **environment, **changed}).order_source
    assert isinstance(folder, DriveFolder)
    return folder


def source_of(folder: DriveFolder, clock: Callable[[], float] = time.monotonic) -> Drive:
    """Return the source as a process that was just started has it."""
    web = Web()
    tokens = Tokens(folder.key, folder.read_key, web)
    return Drive(folder.folder_id, DriveApi(folder.base_url, tokens, web, sleep=lambda _: None), clock)


def read(source: Drive, file: SourceFile, size: int = 4096) -> bytes:
    """Read a file to its end, piece by piece."""
    with source.open(file) as content:
        return b"".join(iter(lambda: content.read(size), b""))
