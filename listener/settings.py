"""The settings: what the environment says, checked before anything is asked of the database.

A fault names its variable and says how to mend it; it never repeats a value that may hold a secret. Files are read for
NAME_FILE only: whether a host answers or a directory is there shows later, and mends itself without a restart.
"""

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict

from listener.errors import Fatal, Rejected

T = TypeVar("T")

FILE_BYTES = 65536
"""Far more than any secret: a NAME_FILE that points at a log or a device is not read to its end."""

SHORTEST_SECRET = 4
"""Masking a shorter one would garble every line of the log and hide nothing."""

LINES = 3
"""Faults beyond the last line share it."""

STATUS_ADDRESS = "127.0.0.1:8750"

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
FORMATS = ("text", "json")

PASSWORD_IN_URL = re.compile(r"://[^:/@]*:([^@/]+)@")
ADDRESS = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):(?P<port>[0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class Settings:
    """What `run` needs to know. Secrets, and URLs that hold one, stay out of its repr."""

    database_url: str = field(repr=False)
    listen_database_url: str = field(repr=False)
    shipstation_api_key: str = field(repr=False)
    shipstation_api_secret: str = field(repr=False)
    shipstation_base_url: str
    order_source: str | None
    status_address: tuple[str, int] | None
    alert_url: str | None = field(repr=False)
    log_level: str
    log_format: str

    def secrets(self) -> list[str]:
        """Return what must not appear in a log, in the forms in which it travels: plain, in a URL, in a header."""
        login = f"{self.shipstation_api_key}:{self.shipstation_api_secret}"
        secrets = [self.shipstation_api_key, self.shipstation_api_secret, base64.b64encode(login.encode()).decode()]
        for url in (self.database_url, self.listen_database_url):
            secrets += database_secrets(url)
        if self.alert_url:
            parts = urlsplit(self.alert_url)
            secrets += [self.alert_url, urlunsplit(("", "", parts.path, parts.query, ""))]
        return list(dict.fromkeys(secret for secret in secrets if len(secret) >= SHORTEST_SECRET))


def read_settings(env: Mapping[str, str]) -> Settings:
    """Return the settings of `run`. Raises Fatal with every fault, in at most three lines."""
    read = _Environment(env)
    database_url = read.secret("DATABASE_URL", _database_url, required=True)
    settings = Settings(
        database_url=database_url,
        listen_database_url=read.secret("LISTEN_DATABASE_URL", _database_url) or database_url,
        shipstation_api_key=read.secret("SHIPSTATION_API_KEY", _printable, required=True),
        shipstation_api_secret=read.secret("SHIPSTATION_API_SECRET", _printable, required=True),
        shipstation_base_url=read.plain("SHIPSTATION_BASE_URL", "https://ssapi.shipstation.com", _base_url),
        order_source=read.plain("ORDER_SOURCE", "", _directory),
        status_address=read.plain("STATUS_ADDRESS", STATUS_ADDRESS, _address),
        alert_url=read.secret("ALERT_URL", _alert_url) or None,
        log_level=read.plain("LOG_LEVEL", "INFO", lambda text: _one_of(LEVELS, text)),
        log_format=read.plain("LOG_FORMAT", "text", lambda text: _one_of(FORMATS, text)),
    )
    read.raise_faults()
    return settings


def read_database_url(env: Mapping[str, str]) -> str:
    """Return DATABASE_URL, for the commands that only ask the database. Raises Fatal."""
    read = _Environment(env)
    url = read.secret("DATABASE_URL", _database_url, required=True)
    read.raise_faults()
    return url


def read_status_address(env: Mapping[str, str]) -> tuple[str, int] | None:
    """Return where the status page is; None: it is off. Raises Fatal."""
    read = _Environment(env)
    address = read.plain("STATUS_ADDRESS", STATUS_ADDRESS, _address)
    read.raise_faults()
    return address


def read_direct_url(env: Mapping[str, str]) -> str:
    """Return LISTEN_DATABASE_URL, else DATABASE_URL: the SQL files set their session up, which a pooler would leak."""
    read = _Environment(env)
    url = read.secret("LISTEN_DATABASE_URL", _database_url) or read.secret("DATABASE_URL", _database_url, required=True)
    read.raise_faults()
    return url


def database_secrets(url: str) -> list[str]:
    """Return the passwords of a URL or conninfo string, decoded and as they stand in it."""
    parts = conninfo_to_dict(url)
    found = [parts.get("password"), parts.get("sslpassword"), *PASSWORD_IN_URL.findall(url)]
    return [str(secret) for secret in found if secret]


class _Environment:
    """Reads variables one by one and gathers what is wrong with them; an empty variable counts as unset."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self._missing: list[str] = []
        self._faults: list[str] = []

    def plain(self, name: str, default: str, parse: Callable[[str], T]) -> T:
        text = self._env.get(name, "").strip()
        try:
            return parse(text or default)
        except Rejected as fault:
            self._faults.append(f"{name} {fault}")
            return parse(default)

    def secret(self, name: str, check: Callable[[str], str], *, required: bool = False) -> str:
        """Return the secret of NAME or of the file that NAME_FILE names; '' when neither is set, or at a fault."""
        text, file = self._env.get(name, "").strip(), self._env.get(f"{name}_FILE", "")
        try:
            if file:
                text = _same(text, _read_file(file))
            if text:
                return check(text)
        except Rejected as fault:
            self._faults.append(f"{name}_FILE {fault}" if file else f"{name} {fault}")
            return ""
        if required:
            self._missing.append(name)
        return ""

    def raise_faults(self) -> None:
        faults = self._faults.copy()
        if self._missing:
            faults.insert(0, f"not set: {', '.join(self._missing)}; set each, or NAME_FILE to a file that holds it")
        if faults:
            first, last = faults[: LINES - 1], faults[LINES - 1 :]
            raise Fatal("\n".join(first + (["; ".join(last)] if last else [])))


def _read_file(path: str) -> str:
    # The path is not repeated: it may be the secret itself, set under the wrong name.
    try:
        with Path(path).open("rb") as file:
            data = file.read(FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        raise Rejected(f"names a file that cannot be read: {getattr(error, 'strerror', None) or 'bad path'}") from error
    try:
        text = data.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise Rejected("names a file that is no text") from error
    if not text or len(data) > FILE_BYTES:
        raise Rejected("names a file that is empty or too long for a secret")
    return text


def _same(variable: str, file: str) -> str:
    if variable and variable != file:
        raise Rejected("and the variable without _FILE are both set, and differ: unset one of them")
    return file


def _printable(text: str) -> str:
    if not text.isprintable():
        raise Rejected("holds a line break or another character that cannot be printed")
    return text


def _database_url(text: str) -> str:
    # What libpq says about a bad URL is not passed on: it quotes the part that it could not read, often the password.
    try:
        parts = conninfo_to_dict(_printable(text))
    except (psycopg.Error, UnicodeError) as error:
        raise Rejected(_EXPECTED_DATABASE) from error
    ports = str(parts.get("port") or "5432").split(",")
    readable = all(port.isascii() and port.isdigit() and 0 < int(port[:6]) <= 65535 for port in ports)
    if not readable or "@" in str(parts.get("host") or ""):
        raise Rejected(_EXPECTED_DATABASE)
    return text


_EXPECTED_DATABASE = (
    "is no address of a PostgreSQL database: expected postgresql://USER:PASSWORD@HOST:5432/NAME"
    " (@ : / ? # % in the password are written %40 %3A %2F %3F %23 %25; after ? only what libpq knows)"
)


def _base_url(text: str) -> str:
    try:
        url = urlsplit(text)
        port_readable = url.port is None or url.port > 0
    except ValueError as error:
        raise Rejected(_EXPECTED_BASE) from error
    extra = url.username is not None or url.query or url.fragment or " " in text or not text.isprintable()
    if url.scheme not in ("http", "https") or not url.hostname or not port_readable or extra:
        raise Rejected(_EXPECTED_BASE)
    return text.rstrip("/")


_EXPECTED_BASE = "must be an http or https URL without user, query or fragment, as in https://ssapi.shipstation.com"


def _alert_url(text: str) -> str:
    # The value is not repeated: its path is the secret.
    try:
        url = urlsplit(_printable(text))
        usable = url.scheme in ("http", "https") and url.hostname and (url.port is None or url.port > 0)
    except ValueError as error:
        raise Rejected(_EXPECTED_ALERT) from error
    if not usable or url.username is not None or url.fragment or " " in text:
        raise Rejected(_EXPECTED_ALERT)
    return text


_EXPECTED_ALERT = "must be an http or https URL without user or fragment, to which JSON can be posted"


def _directory(text: str) -> str | None:
    if text.lower().startswith("drive:") or "://" in text:
        raise Rejected(f"= {_shown(text)} must be a directory, as in /srv/orders")
    return text or None


def _address(text: str) -> tuple[str, int] | None:
    if text.lower() == "off":
        return None
    match = ADDRESS.fullmatch(text)
    if not match or int(match["port"]) > 65535:
        raise Rejected(f"= {_shown(text)} must be host:port, as in 127.0.0.1:8750 or [::1]:8750, or off")
    return match["host"].strip("[]"), int(match["port"])


def _one_of(words: tuple[str, ...], text: str) -> str:
    for word in words:
        if word.lower() == text.lower():
            return word
    raise Rejected(f"= {_shown(text)} must be one of {', '.join(words)}")


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:60] + "…")
