"""Drive's API v3: a folder's files, the folder itself, a file's bytes. Reading only.

A question is safe to repeat: what gets no answer is asked once more. A refused token is renewed once. Both flags for
shared drives go with every question, or a folder in one would look empty.
"""

import time
from collections.abc import Callable, Mapping
from typing import IO, Any
from urllib.parse import quote, urlencode

from urllib3 import make_headers

from listener.http_limits import TooLong
from listener.retry import trying_again
from listener.sources.drive.answers import (
    FILE_FIELDS,
    PAGE_FIELDS,
    Denied,
    Entry,
    Outage,
    Unauthenticated,
    decode_entry,
    decode_page,
    refusal,
    without,
)
from listener.sources.drive.tokens import Tokens
from listener.sources.drive.web import DEADLINE_SECONDS, LARGEST_ANSWER, Web

PAGE_SIZE = 1000
MOST_PAGES = 100
MOST_FILES = 20_000

SLOWEST_BYTES_A_SECOND = 256 * 1024
"""A download may take as long as a line of 2 Mbit/s needs for it, beyond the deadline of any request."""

COMPRESSED = make_headers(accept_encoding="gzip", user_agent="listener (gzip)")
"""Drive compresses for those alone whose user agent says so, too (guide "Performance", on gzip)."""

LARGEST_REFUSAL = 64 * 1024
"""An answer to a download that is no file says why in less."""


class DriveApi:
    """Asks Drive, in one thread. Raises what `answers` names: Outage, Throttled, Missing, Denied."""

    def __init__(self, base_url: str, tokens: Tokens, web: Web, sleep: Callable[[float], None] = time.sleep) -> None:
        self._files_url = f"{base_url}/drive/v3/files"
        self._tokens = tokens
        self._web = web
        self._sleep = sleep

    @property
    def email(self) -> str:
        """The address that it asks as."""
        return self._tokens.email

    def list_folder(self, folder_id: str) -> list[Entry]:
        """Return what lies in a folder and not in the trash. Nothing may also mean that it is not shared with us."""
        query = {
            "q": f"'{folder_id}' in parents and trashed = false",
            "pageSize": str(PAGE_SIZE),
            "fields": PAGE_FIELDS,
            "supportsAllDrives": "true",
            "includeItemsFromAllDrives": "true",
        }
        entries: dict[str, Entry] = {}
        for _ in range(MOST_PAGES):
            page = decode_page(self._get("", query))
            entries |= {entry.file_id: entry for entry in page.entries}
            if not page.next_token:
                return list(entries.values())
            if len(entries) > MOST_FILES:
                break
            query["pageToken"] = page.next_token
        raise Outage(f"it holds more than {MOST_FILES:,} files, or its list has no end: move old files elsewhere")

    def look_at(self, file_id: str) -> Entry:
        """Return what a file, or a folder, is now."""
        query = {"fields": FILE_FIELDS, "supportsAllDrives": "true"}
        return decode_entry(self._get(f"/{quote(file_id, safe='')}", query))

    def download(self, entry: Entry, into: IO[bytes]) -> None:
        """Put a file's bytes as they are now into `into`. Raises TooLong when there are far more than were listed."""
        url = self._url(f"/{quote(entry.file_id, safe='')}", {"alt": "media", "supportsAllDrives": "true"})
        size = entry.size or 0
        seconds = DEADLINE_SECONDS + size / SLOWEST_BYTES_A_SECOND

        def begin_and_ask() -> None:
            into.seek(0)
            into.truncate()
            self._ask_as_ourselves(url, {}, largest=size + LARGEST_REFUSAL, seconds=seconds, into=into)

        trying_again(Outage, self._sleep)(begin_and_ask)

    def _get(self, path: str, query: Mapping[str, str]) -> bytes:
        limits = {"largest": LARGEST_ANSWER, "seconds": DEADLINE_SECONDS}
        try:
            return trying_again(Outage, self._sleep)(
                self._ask_as_ourselves, self._url(path, query), COMPRESSED, **limits
            )
        except TooLong as error:
            raise Outage("its answer is too long to be read") from error

    def _url(self, path: str, query: Mapping[str, str]) -> str:
        return f"{self._files_url}{path}?{urlencode(query)}"

    def _ask_as_ourselves(self, url: str, headers: Mapping[str, str], **limits: Any) -> bytes:
        try:
            return self._ask(url, headers, **limits)
        except Unauthenticated:
            self._tokens.renew()
        try:
            return self._ask(url, headers, **limits)
        except Unauthenticated as error:
            raise Denied(f"the token is refused that Google has just given: {error}") from error

    def _ask(self, url: str, headers: Mapping[str, str], **limits: Any) -> bytes:
        token = self._tokens.token()
        answer = self._web.ask("GET", url, {**headers, "Authorization": f"Bearer {token}"}, **limits)
        if answer.status == 200:
            return answer.body
        said = without(answer.body, token.encode())
        raise refusal(answer.status, said, answer.headers.get("retry-after", ""))
