"""What a variable of the environment may hold, kind by kind: its text in, its value out.

A refusal is Rejected, with words that follow the variable's name. They do not repeat a text that may be a secret.
"""

import re
from urllib.parse import urlsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict

from listener.errors import Rejected
from listener.sources.drive.key import LOOPBACK

DRIVE = "drive:"
FOLDER_ID = re.compile(r"[A-Za-z0-9_-]{1,200}")

ADDRESS = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):(?P<port>[0-9]{1,5})")

EXPECTED_DATABASE = (
    "is no address of a PostgreSQL database: expected postgresql://USER:PASSWORD@HOST:5432/NAME"
    " (@ : / ? # % in the password are written %40 %3A %2F %3F %23 %25; after ? only what libpq knows)"
)

EXPECTED_ALERT = "must be an http or https URL without user or fragment, to which JSON can be posted"


def printable(text: str) -> str:
    """Return a text that is safe to be shown, and to be sent."""
    if not text.isprintable():
        raise Rejected("holds a line break or another character that cannot be printed")
    return text


def database_url(text: str) -> str:
    """Return a URL or conninfo string that libpq can read."""
    # What libpq says about a bad URL is not passed on: it quotes the part that it could not read, often the password.
    try:
        parts = conninfo_to_dict(printable(text))
    except (psycopg.Error, UnicodeError) as error:
        raise Rejected(EXPECTED_DATABASE) from error
    ports = str(parts.get("port") or "5432").split(",")
    readable = all(port.isascii() and port.isdigit() and 0 < int(port[:6]) <= 65535 for port in ports)
    if not readable or "@" in str(parts.get("host") or ""):
        raise Rejected(EXPECTED_DATABASE)
    return text


def base_url(text: str, example: str) -> str:
    """Return an address to which paths are appended, without the slash at its end."""
    expected = f"must be an http or https URL without user, query or fragment, as in {example}"
    try:
        url = urlsplit(text)
        port_readable = url.port is None or url.port > 0
    except ValueError as error:
        raise Rejected(expected) from error
    extra = url.username is not None or url.query or url.fragment or " " in text or not text.isprintable()
    if url.scheme not in ("http", "https") or not url.hostname or not port_readable or extra:
        raise Rejected(expected)
    return text.rstrip("/")


def is_in_the_clear(url: str) -> bool:
    """Return whether what is sent to an address leaves this machine unencrypted."""
    parts = urlsplit(url)
    return parts.scheme == "http" and not LOOPBACK.fullmatch(parts.hostname or "")


def alert_url(text: str) -> str:
    """Return an address that is posted to."""
    # The value is not repeated: its path is the secret.
    try:
        url = urlsplit(printable(text))
        usable = url.scheme in ("http", "https") and url.hostname and (url.port is None or url.port > 0)
    except ValueError as error:
        raise Rejected(EXPECTED_ALERT) from error
    if not usable or url.username is not None or url.fragment or " " in text:
        raise Rejected(EXPECTED_ALERT)
    return text


def source(text: str) -> str | None:
    """Return a directory, or `drive:FOLDER_ID`."""
    kind, colon, folder_id = text.partition(":")
    if colon and kind.lower() == "drive":
        if not FOLDER_ID.fullmatch(folder_id):
            raise Rejected(
                f"= {_shown(text)} must end in the folder's id, the last part of its address in Google Drive"
            )
        return DRIVE + folder_id
    if "://" in text:
        raise Rejected(f"= {_shown(text)} must be a directory, as in /srv/orders, or drive:FOLDER_ID")
    return text or None


def address(text: str) -> tuple[str, int] | None:
    """Return host and port, None for `off`."""
    if text.lower() == "off":
        return None
    match = ADDRESS.fullmatch(text)
    if not match or int(match["port"]) > 65535:
        raise Rejected(f"= {_shown(text)} must be host:port, as in 127.0.0.1:8750 or [::1]:8750, or off")
    return match["host"].strip("[]"), int(match["port"])


def one_of(words: tuple[str, ...], text: str) -> str:
    """Return one of the words, in any case."""
    for word in words:
        if word.lower() == text.lower():
            return word
    raise Rejected(f"= {_shown(text)} must be one of {', '.join(words)}")


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:60] + "…")
