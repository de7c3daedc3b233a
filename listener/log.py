"""The log: one event, one line, on stderr. Times are UTC.

Whatever comes from outside is escaped and cut, so that no order number or answer can forge a line or fill a disk; only
a traceback takes more lines, and those are indented. The secrets given to `configure` appear in no output, also not in
a traceback or when a log call itself is wrong.
"""

import json
import logging
import math
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Protocol
from urllib.parse import quote, quote_plus

MASK = "***"

UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""What breaks a line, moves a terminal's cursor, turns the reading direction, or cannot be encoded."""

LONGEST_TEXT = 4000
LONGEST_TRACEBACK = 20_000
"""Characters of a message, or of a field, and of a traceback, before they are escaped."""

TELL_TWICE = ("psycopg",)
"""Loggers of others that warn of what is raised as well, and so is logged where it is handled."""

STANDARD_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
STABLE_FIELDS = frozenset({"time", "level", "logger", "message", "event", "traceback"})

Redact = Callable[[str], str]


class Stream(Protocol):
    """Where the lines go, each with its end by one call of `write`."""

    def write(self, text: str, /) -> object: ...

    def flush(self) -> object: ...


def configure(level: str, format: str, stream: Stream | None = None, secrets: Iterable[str] = ()) -> "Handler":
    """Send every logger's records of `level` and above to `stream` (stderr), as `text` or `json`, without `secrets`.

    Called again, it replaces what it set before, and leaves other handlers alone.
    """
    redact = redactor(secrets)
    handler = Handler(sys.stderr if stream is None else stream)
    handler.setFormatter(JsonFormatter(redact) if format == "json" else TextFormatter(redact))
    root = logging.getLogger()
    for former in [handler for handler in root.handlers if isinstance(handler, Handler)]:
        root.removeHandler(former)
    root.addHandler(handler)
    root.setLevel(level)
    for name in TELL_TWICE:
        logging.getLogger(name).setLevel(max(root.level, logging.ERROR))
    return handler


def escape(text: str) -> str:
    """Return `text` on one line: what cannot be printed stands as an escape sequence."""
    return UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def shortened(text: str, longest: int = LONGEST_TEXT) -> str:
    """Return `text`, or its beginning and how much is left out. What holds secrets is redacted before it is cut."""
    left_out = len(text) - longest
    return text if left_out <= 0 else f"{text[:longest]}… ({left_out} more characters)"


def redactor(secrets: Iterable[str]) -> Redact:
    """Return a function that masks every secret, also as it stands in a URL, in JSON or in a repr."""
    forms = {form for secret in secrets if secret for form in _forms(secret)}
    if not forms:
        return str
    # The longest first: a secret may hold another, and half of it must not be left over.
    pattern = re.compile("|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True)))
    return lambda text: pattern.sub(MASK, text)


def _forms(secret: str) -> set[str]:
    in_json = {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    return {secret, quote(secret), quote(secret, safe=""), quote_plus(secret), repr(secret)[1:-1]} | in_json


class TextFormatter(logging.Formatter):
    """`2026-01-02T03:04:05.678+00:00 INFO listener.metrics message`; a traceback follows on indented lines."""

    def __init__(self, redact: Redact) -> None:
        super().__init__()
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        message = escape(shortened(self._redact(record.getMessage().rstrip())))
        line = f"{_time(record)} {record.levelname} {record.name} {message}"
        # Split on \n alone: whatever else breaks a line came from outside and is escaped.
        trace = shortened(self._redact(_traceback(record)), LONGEST_TRACEBACK).split("\n")
        return "\n".join([line, *(f"    {escape(text)}" for text in trace if text)])


class JsonFormatter(logging.Formatter):
    """One object a line: time, level, logger, message, event, the event's own fields, and its traceback if any."""

    def __init__(self, redact: Redact) -> None:
        super().__init__()
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        fields = {name: value for name, value in vars(record).items() if name not in STANDARD_FIELDS | STABLE_FIELDS}
        entry = {
            "time": _time(record),
            "level": record.levelname,
            "logger": record.name,
            "message": shortened(self._redact(record.getMessage())),
            "event": self._clean(getattr(record, "event", None)),
            **{name: self._clean(value) for name, value in fields.items()},
        }
        if trace := _traceback(record):
            entry["traceback"] = shortened(self._redact(trace), LONGEST_TRACEBACK)
        return json.dumps(entry)

    def _clean(self, value: object) -> Any:
        """Return `value` as JSON can hold it, every text in it redacted."""
        if value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
            return value
        if isinstance(value, Mapping):
            return {self._redact(str(key)): self._clean(item) for key, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self._clean(item) for item in value]
        return shortened(self._redact(str(value)))


class Handler(logging.StreamHandler[Stream]):
    """Writes lines. A log call that cannot be formatted becomes a line about itself, without its arguments."""

    def handleError(self, record: logging.LogRecord) -> None:
        if record.name == __name__:
            return  # the line about the call could not be written either: the stream is gone
        self.emit(_about_call(record, sys.exception()))


@contextmanager
def calling_at_errors(call: Callable[[], None]) -> Iterator[None]:
    """Call `call` at every line of level ERROR, for the length of a block."""
    handler = _AtErrors(call)
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)


class _AtErrors(logging.Handler):
    """Writes nothing."""

    def __init__(self, call: Callable[[], None]) -> None:
        super().__init__(logging.ERROR)
        self._call = call

    def emit(self, record: logging.LogRecord) -> None:
        self._call()


def _about_call(record: logging.LogRecord, error: BaseException | None) -> logging.LogRecord:
    """Return the line about a log call that failed, without its arguments: they may hold a secret."""
    message = "a log call at %s:%d failed: %s"
    args = (record.pathname, record.lineno, type(error).__name__)
    return logging.LogRecord(__name__, logging.ERROR, __file__, 0, message, args, None)


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


def _traceback(record: logging.LogRecord) -> str:
    parts = [record.exc_text or ""]
    if record.exc_info and not record.exc_text:
        parts = [logging.Formatter().formatException(record.exc_info)]
    return "\n".join(part for part in [*parts, record.stack_info or ""] if part)
