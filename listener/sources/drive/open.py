"""Puts a folder of Google Drive together. It brings google-auth, which takes 10 MB: import it only where it is used."""

from collections.abc import Callable

from listener.errors import Fatal, Rejected
from listener.sources.drive.api import DriveApi
from listener.sources.drive.key import ServiceAccountKey
from listener.sources.drive.source import Drive
from listener.sources.drive.tokens import Tokens
from listener.sources.drive.web import Web


def open_folder(
    folder_id: str, base_url: str, key: ServiceAccountKey, read_key: Callable[[], ServiceAccountKey]
) -> Drive:
    """Return the source; nothing is asked of Google yet. Raises Fatal when the key cannot sign."""
    web = Web()
    try:
        tokens = Tokens(key, read_key, web)
    except Rejected as fault:
        raise Fatal(f"GOOGLE_APPLICATION_CREDENTIALS {fault}") from fault
    return Drive(folder_id, DriveApi(base_url, tokens, web))
