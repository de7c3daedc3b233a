"""A service account's key file: what is needed of it, checked. No I/O.

Whoever wrote the file decides where signed assertions are sent and what the log shows, so nothing of it is taken
unread: no other kind of credentials (some name programs to run), no token endpoint over an open line, no address that
could forge a line of the log.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from listener.errors import Rejected

MEMBERS = ("client_email", "private_key", "private_key_id", "token_uri")

LONGEST_PRIVATE_KEY = 8192
"""Characters of PEM: twice what an RSA key of 4096 bits takes, and little enough to be read at a start."""

ADDRESS = re.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9.-]{1,255}")
LOOPBACK = re.compile(r"localhost|127(\.[0-9]{1,3}){3}|::1")


@dataclass(frozen=True, slots=True)
class ServiceAccountKey:
    """Whose key it is, and what signs for it."""

    client_email: str
    private_key: str = field(repr=False)
    private_key_id: str
    token_uri: str

    def secrets(self) -> list[str]:
        """Return what must not appear in a log: the key, and each line of it that could stand alone."""
        return [self.private_key, *(line for line in self.private_key.split() if len(line) >= 32)]


def read_key(text: str) -> ServiceAccountKey:
    """Return the key in a file's text. Raises Rejected, with words that follow the name of the setting.

    Source: Google Cloud IAM, "Create and delete service account keys".
    """
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Rejected("names a file that is no JSON: it must be the key of a service account") from error
    if not isinstance(values, dict) or values.get("type") != "service_account":
        raise Rejected("names a file that is not the key of a service account (its type is another)")
    if missing := [name for name in MEMBERS if not isinstance(values.get(name), str) or not values[name]]:
        raise Rejected(f"names a key without {', '.join(missing)}: download it again")
    return _checked(values)


def _checked(values: dict[str, Any]) -> ServiceAccountKey:
    key = ServiceAccountKey(**{name: values[name] for name in MEMBERS})
    if not ADDRESS.fullmatch(key.client_email):
        raise Rejected("names a key whose client_email is no address")
    if not key.private_key.startswith("-----BEGIN ") or len(key.private_key) > LONGEST_PRIVATE_KEY:
        raise Rejected("names a key whose private_key is no PEM, or too long")
    if not _is_safe(key.token_uri):
        raise Rejected("names a key whose token_uri is no https address")
    return key


def _is_safe(uri: str) -> bool:
    """The assertion would travel encrypted, or not leave this machine."""
    try:
        url = urlsplit(uri)
        host, port_readable = url.hostname or "", url.port is None or url.port > 0
    except ValueError:
        return False
    plain = uri.isascii() and uri.isprintable() and " " not in uri and url.username is None and port_readable
    return plain and bool(host) and (url.scheme == "https" or (url.scheme == "http" and bool(LOOPBACK.fullmatch(host))))
