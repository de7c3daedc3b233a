"""One HTTP request to Google: one answer within its limits, or none.

No redirect is followed and nothing is tried again here: tokens and assertions go where they were meant to, once.
"""

import tempfile
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import IO

from urllib3 import Timeout, make_headers
from urllib3.exceptions import DecodeError, HTTPError, LocationValueError, ProtocolError, ReadTimeoutError

from listener.errors import Transient
from listener.http_limits import body_parts, deadline, read_body, watched_pool
from listener.sources.drive.answers import Outage

CONNECT_SECONDS = 5.0
DEADLINE_SECONDS = 30.0
LARGEST_ANSWER = 16 * 1024 * 1024


class NoRoom(Transient):
    """A file cannot be put aside on this machine."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; header names are in lower case. Its body is empty when it went into a file."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Web:
    """Keeps a connection for each host."""

    def __init__(self) -> None:
        self._pool = watched_pool(maxsize=1, retries=False)

    def ask(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
        *,
        seconds: float = DEADLINE_SECONDS,
        largest: int = LARGEST_ANSWER,
        into: IO[bytes] | None = None,
    ) -> Answer:
        """Return the answer; `into`: a file that is to hold its body, if its status is 200.

        Raises: Outage when there is no answer, TooLong when it has more than `largest` bytes, NoRoom for `into`.
        """
        timeout = Timeout(connect=CONNECT_SECONDS, read=DEADLINE_SECONDS - CONNECT_SECONDS)
        try:
            with deadline(seconds):
                response = self._pool.request(
                    method,
                    url,
                    body=body,
                    headers={**make_headers(user_agent="listener"), **headers},
                    timeout=timeout,
                    redirect=False,
                    preload_content=False,
                )
                if into is not None and response.status == 200:
                    content = b""
                    with closing(body_parts(response, largest)) as parts:
                        for part in parts:
                            _write(into, part)
                else:
                    content = read_body(response, largest)
        except (HTTPError, LocationValueError, OSError) as error:
            raise Outage(f"there is no answer: {_reason(error)}") from error
        return Answer(response.status, {name.lower(): value for name, value in response.headers.items()}, content)

    def close(self) -> None:
        """Close the kept connections."""
        self._pool.clear()


def _write(into: IO[bytes], part: bytes) -> None:
    try:
        into.write(part)
    except OSError as error:
        folder = tempfile.gettempdir()
        raise NoRoom(f"a file cannot be put aside in {folder} ({error.strerror}); see TMPDIR") from error


def _reason(error: Exception) -> str:
    """Return what was wrong, in the same words each time: how many bytes came before a break is no news."""
    match error:
        case ProtocolError():
            return "the connection broke off, or spoke no HTTP"
        case DecodeError():
            return "what came does not unpack"
        case ReadTimeoutError():
            return "nothing came in time"
    return str(error).rsplit(": ", 1)[-1] or type(error).__name__
