"""The settings: what the environment says, checked before anything is asked of the database.

A fault names its variable and says how to mend it; it never repeats a value that may hold a secret. Files are read only
where they hold one: whether a host answers or a directory is there shows later, and mends itself without a restart.
"""

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeVar
from urllib.parse import urlsplit, urlunsplit

from psycopg.conninfo import conninfo_to_dict

from listener import setting_values as values
from listener.errors import Fatal, Rejected
from listener.sources.drive.key import ServiceAccountKey, read_key

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


@dataclass(frozen=True, slots=True)
class DriveFolder:
    """A folder of Google Drive as the source of orders, and what opens it."""

    folder_id: str
    base_url: str
    key_file: str
    key: ServiceAccountKey

    def read_key(self) -> ServiceAccountKey:
        """Return the key that the file holds now. Raises Rejected, with words that follow the setting's name."""
        return read_key(_read_file(self.key_file))


@dataclass(frozen=True, slots=True)
class Settings:
    """What `run` needs to know. Secrets, and URLs that hold one, stay out of its repr."""

    database_url: str = field(repr=False)
    listen_database_url: str = field(repr=False)
    shipstation_api_key: str = field(repr=False)
    shipstation_api_secret: str = field(repr=False)
    shipstation_base_url: str
    order_source: str | DriveFolder | None
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
        if isinstance(self.order_source, DriveFolder):
            secrets += self.order_source.key.secrets()
        return list(dict.fromkeys(secret for secret in secrets if len(secret) >= SHORTEST_SECRET))

    def in_the_clear(self) -> list[str]:
        """Return which settings have secrets and orders leave this machine unencrypted."""
        drive = self.order_source.base_url if isinstance(self.order_source, DriveFolder) else ""
        urls = {"SHIPSTATION_BASE_URL": self.shipstation_base_url, "DRIVE_BASE_URL": drive, "ALERT_URL": self.alert_url}
        return [name for name, url in urls.items() if url and values.is_in_the_clear(url)]


def read_settings(env: Mapping[str, str]) -> Settings:
    """Return the settings of `run`. Raises Fatal with every fault, in at most three lines."""
    read = _Environment(env)
    settings = _read_all(read)
    read.raise_faults()
    return settings


class Look(NamedTuple):
    """The settings as far as they can be read ('' for what cannot), what is not set, and every other fault."""

    settings: Settings
    missing: list[str]
    faults: list[str]


def look_at_settings(env: Mapping[str, str]) -> Look:
    """Return the settings of `run`, and what is wrong with them. Raises nothing."""
    read = _Environment(env)
    return Look(_read_all(read), read.missing, read.faults)


def _read_all(read: "_Environment") -> Settings:
    database_url = read.secret("DATABASE_URL", values.database_url, required=True)
    return Settings(
        database_url=database_url,
        listen_database_url=read.secret("LISTEN_DATABASE_URL", values.database_url) or database_url,
        shipstation_api_key=read.secret("SHIPSTATION_API_KEY", values.printable, required=True),
        shipstation_api_secret=read.secret("SHIPSTATION_API_SECRET", values.printable, required=True),
        shipstation_base_url=read.base_url("SHIPSTATION_BASE_URL", "https://ssapi.shipstation.com"),
        order_source=_read_source(read),
        status_address=read.plain("STATUS_ADDRESS", STATUS_ADDRESS, values.address),
        alert_url=read.secret("ALERT_URL", values.alert_url) or None,
        log_level=read.plain("LOG_LEVEL", "INFO", lambda text: values.one_of(LEVELS, text)),
        log_format=read.plain("LOG_FORMAT", "text", lambda text: values.one_of(FORMATS, text)),
    )


def _read_source(read: "_Environment") -> str | DriveFolder | None:
    source = read.plain("ORDER_SOURCE", "", values.source)
    base_url = read.base_url("DRIVE_BASE_URL", "https://www.googleapis.com")
    if source is None or not source.startswith(values.DRIVE):
        return source
    key_file, key = read.key_file("GOOGLE_APPLICATION_CREDENTIALS")
    return DriveFolder(source.removeprefix(values.DRIVE), base_url, key_file, key) if key else None


def read_database_url(env: Mapping[str, str]) -> str:
    """Return DATABASE_URL, for the commands that only ask the database. Raises Fatal."""
    read = _Environment(env)
    url = read.secret("DATABASE_URL", values.database_url, required=True)
    read.raise_faults()
    return url


def read_status_address(env: Mapping[str, str]) -> tuple[str, int] | None:
    """Return where the status page is; None: it is off. Raises Fatal."""
    read = _Environment(env)
    address = read.plain("STATUS_ADDRESS", STATUS_ADDRESS, values.address)
    read.raise_faults()
    return address


def read_direct_url(env: Mapping[str, str]) -> str:
    """Return LISTEN_DATABASE_URL, else DATABASE_URL: the SQL files set their session up, which a pooler would leak."""
    read = _Environment(env)
    direct = read.secret("LISTEN_DATABASE_URL", values.database_url)
    url = direct or read.secret("DATABASE_URL", values.database_url, required=True)
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
        self.missing: list[str] = []
        self.faults: list[str] = []

    def plain(self, name: str, default: str, parse: Callable[[str], T]) -> T:
        text = self._env.get(name, "").strip()
        try:
            return parse(text or default)
        except Rejected as fault:
            self.faults.append(f"{name} {fault}")
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
            self.faults.append(f"{name}_FILE {fault}" if file else f"{name} {fault}")
            return ""
        if required:
            self.missing.append(name)
        return ""

    def base_url(self, name: str, default: str) -> str:
        return self.plain(name, default, lambda text: values.base_url(text, default))

    def key_file(self, name: str) -> tuple[str, ServiceAccountKey | None]:
        """Return the path of a service account's key file and the key in it; None at a fault."""
        path = self._env.get(name, "").strip()
        try:
            if not path:
                raise Rejected("is not set: for a folder of Google Drive it names the key file of a service account")
            return path, read_key(_read_file(path))
        except Rejected as fault:
            self.faults.append(f"{name} {fault}")
            return path, None

    def raise_faults(self) -> None:
        faults = self.faults.copy()
        if self.missing:
            faults.insert(0, f"not set: {', '.join(self.missing)}; set each, or NAME_FILE to a file that holds it")
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
