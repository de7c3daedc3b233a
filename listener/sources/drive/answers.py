"""What Drive's answers say: pages of files, one file, refusals; and what the token endpoint's say. No I/O.

An error never reads as "nothing there": what is no whole answer is an outage. What a service says in words is cut short
and put on one line before anybody repeats it.
Source: Drive API v3, "files.list", "files.get", "Resolve errors"; Google Identity, "OAuth 2.0 for Server to Server".
"""

import hashlib
import json
import re
from dataclasses import dataclass
from typing import IO, Any

from listener.errors import Transient

NATIVE = "application/vnd.google-apps."
FOLDER = NATIVE + "folder"

FILE_FIELDS = "id,name,mimeType,trashed,size,headRevisionId,md5Checksum,sha256Checksum,version"
PAGE_FIELDS = f"nextPageToken,incompleteSearch,files({FILE_FIELDS})"

TOKEN = re.compile(r"[\x21-\x7e]{1,4096}")
"""What can stand in a header: anything else would be repeated by the error that it causes."""

IDENTIFIER = re.compile(r"[\x21-\x7e]{1,200}")
DIGEST = re.compile(r"[0-9a-fA-F]{32,64}")

LONGEST_WORDS = 200

PIECE_BYTES = 2**16


class Outage(Transient):
    """There is no usable answer: it may be there in a moment."""


class Throttled(Transient):
    """Too many questions were asked, or a time is named before which none is to be asked."""


class Unauthenticated(Transient):
    """The token is refused."""


class Missing(Transient):
    """It is not there, or not shared with us: Drive does not say which."""


class Denied(Transient):
    """It is there, and we may not."""


class KeyRefused(Transient):
    """The token endpoint refuses the key."""


SECONDS = re.compile(r"[0-9]{1,9}")
LONGEST_WAIT = 3600.0
A_DAYS_LIMIT = 3600.0

THROTTLING = {"rateLimitExceeded", "userRateLimitExceeded", "sharingRateLimitExceeded", "dailyLimitExceeded"}

HINTS = {
    "accessNotConfigured": "the Drive API is not switched on in the key's project: enable it there",
    "insufficientPermissions": "the key may not read Drive",
}
"""Refusals with a remedy that their own words do not name."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file as Drive lists it.

    checksum: `sha256:…` or `md5:…` of its content, '' where Drive tells none
    head:     the id of its newest revision, '' where Drive tells none;  version: grows with every change of the file
    size:     None for what has no bytes (folders, native documents, shortcuts), or where Drive does not tell
    """

    file_id: str
    name: str
    mime_type: str
    trashed: bool = False
    size: int | None = None
    checksum: str = ""
    head: str = ""
    version: str = ""

    @property
    def has_bytes(self) -> bool:
        return not self.mime_type.startswith(NATIVE)

    @property
    def revision(self) -> str:
        """Return what tells this content from another: its checksum, as the same bytes uploaded anew are no news."""
        return self.checksum or (f"head:{self.head}" if self.head else "")

    def is_of(self, content: IO[bytes]) -> bool:
        """Tell whether a file holds the bytes that were listed; its place is at the beginning then."""
        kind, _, digest = self.checksum.partition(":")
        found = hashlib.new(kind or "sha256", usedforsecurity=False)
        size = 0
        content.seek(0)
        while piece := content.read(PIECE_BYTES):
            found.update(piece)
            size += len(piece)
        content.seek(0)
        return self.size in (None, size) and digest in ("", found.hexdigest())


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing, and the token of the next, '' on the last."""

    entries: tuple[Entry, ...]
    next_token: str


def decode_page(body: bytes) -> Page:
    """Return a page of files.list. Raises Outage when it is none, or says that not everything was searched."""
    page = _object(body)
    files, token = page.get("files"), page.get("nextPageToken", "")
    if not isinstance(files, list) or not isinstance(token, str):
        raise Outage("its answer is no list of files")
    if page.get("incompleteSearch"):
        raise Outage("it says that its list is not complete")
    return Page(tuple(_entry(file) for file in files), token)


def decode_entry(body: bytes) -> Entry:
    """Return one file of files.get. Raises Outage when it is none."""
    return _entry(_object(body))


def _entry(file: object) -> Entry:
    if not isinstance(file, dict):
        raise Outage("its answer lists something that is no file")
    file_id, name, mime_type = (file.get(member) for member in ("id", "name", "mimeType"))
    if not isinstance(name, str) or not isinstance(mime_type, str) or not _matching(IDENTIFIER, file_id):
        raise Outage("its answer lists a file without id, name or type")
    digests = {kind: _matching(DIGEST, file.get(f"{kind}Checksum")).lower() for kind in ("sha256", "md5")}
    return Entry(
        file_id=str(file_id),
        name=name,
        mime_type=mime_type,
        trashed=file.get("trashed") is True,
        size=_whole_number(file.get("size")),
        checksum=next((f"{kind}:{digest}" for kind, digest in digests.items() if digest), ""),
        head=_matching(IDENTIFIER, file.get("headRevisionId")),
        version=_matching(IDENTIFIER, file.get("version")),
    )


def _matching(pattern: re.Pattern[str], value: object) -> str:
    return value if isinstance(value, str) and pattern.fullmatch(value) else ""


def _whole_number(value: object) -> int | None:
    """Return a number of 64 bits, which travels as a string."""
    text = str(value) if isinstance(value, str | int) else ""
    return int(text) if re.fullmatch(r"[0-9]{1,19}", text) else None


def refusal(status: int, body: bytes, retry_after: str = "") -> Transient:
    """Return what an answer other than 200 means for the loop; `retry_after` is the header."""
    reason, said = _reason(body)
    text = f"answered {status}" + (f" ({reason})" if reason else "") + (f": {said}" if said else "")
    wait = min(float(retry_after), LONGEST_WAIT) if SECONDS.fullmatch(retry_after.strip()) else None
    if status == 429 or (status == 403 and reason in THROTTLING) or (status == 503 and wait is not None):
        return Throttled(text, retry_after=A_DAYS_LIMIT if reason == "dailyLimitExceeded" else wait)
    if status == 401:
        return Unauthenticated(text)
    if status == 404:
        return Missing(text)
    if status == 403:
        return Denied(HINTS.get(reason, text))
    return Outage(text)


def _reason(body: bytes) -> tuple[str, str]:
    """Return the reason and the message of an error; '' for each that it does not have: proxies answer in HTML."""
    try:
        error = _object(body).get("error")
    except Outage:
        return "", ""
    if not isinstance(error, dict):
        return "", ""
    errors = error.get("errors")
    first = errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], dict) else {}
    return in_short(first.get("reason")), in_short(error.get("message"))


def token_refusal(status: int, body: bytes) -> Transient:
    """Return what the token endpoint's answer other than 200 means."""
    if status != 429 and 400 <= status < 500:
        try:
            values = _object(body)
        except Outage:
            values = {}
        said = ": ".join(filter(None, (in_short(values.get("error")), in_short(values.get("error_description")))))
        return KeyRefused(
            f"Google refuses its key ({said or f'answered {status}'}); see GOOGLE_APPLICATION_CREDENTIALS"
        )
    return Outage(f"the token endpoint answered {status}")


def check_token(body: bytes) -> None:
    """Raise Outage unless the token endpoint's answer holds a token that can be sent, and for how long it is good."""
    values = _object(body)
    token, seconds = values.get("access_token"), values.get("expires_in")
    if not isinstance(token, str) or not TOKEN.fullmatch(token):
        raise Outage("the token endpoint's answer holds no token")
    if not 0 < (_whole_number(seconds) or 0) <= 86400:
        raise Outage("the token endpoint does not say for how long its token is good")


def without(body: bytes, secret: bytes) -> bytes:
    """Return what a service says without the secret that it was sent, should it repeat it."""
    return body.replace(secret, b"***") if secret else body


def in_short(text: object) -> str:
    """Return what a service says, on one line and no longer than is of use; '' for what is no text."""
    if not isinstance(text, str):
        return ""
    plain = "".join(letter if letter.isprintable() else " " for letter in text[: 10 * LONGEST_WORDS])
    line = " ".join(plain.split()).rstrip(".")
    return line if len(line) <= LONGEST_WORDS else line[:LONGEST_WORDS] + "…"


def _object(body: bytes) -> dict[str, Any]:
    try:
        values = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Outage("its answer is not JSON") from error
    if not isinstance(values, dict):
        raise Outage("its answer is no JSON object")
    return values
