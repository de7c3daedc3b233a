"""What doctor finds: how bad it is, in one sentence, and what mends it. Values only."""

from dataclasses import dataclass
from enum import StrEnum

CHARACTERS_SHOWN = 60
"""Of a name or a value from outside; more would bury the sentence it stands in."""


class Severity(StrEnum):
    """From bad to good."""

    ERROR = "error"  # orders do not go, or not as promised: look now. It alone makes doctor fail.
    WARNING = "warning"  # they go, but something is wrong or will be: look tomorrow
    INFO = "info"  # nothing is wrong, but it explains what one may wonder about
    OK = "ok"


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding.

    todo:  what a person has to do or to decide: a setting, a command, or SQL that may cost something
    sql:   statements that mend it and may run unseen, each in one line
    files: files of sql/ that mend it, run after the statements
    check: which check it comes from; the examination writes it down
    """

    severity: Severity
    sentence: str
    todo: str = ""
    sql: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    check: str = ""

    @property
    def is_mended_by_sql(self) -> bool:
        return bool(self.sql or self.files)


def error(sentence: str, *sql: str, todo: str = "", files: tuple[str, ...] = ()) -> Finding:
    """Return an error, and the SQL that mends it."""
    return Finding(Severity.ERROR, sentence, todo, sql, files)


def warning(sentence: str, *sql: str, todo: str = "", files: tuple[str, ...] = ()) -> Finding:
    """Return a warning, and the SQL that mends it."""
    return Finding(Severity.WARNING, sentence, todo, sql, files)


def info(sentence: str, todo: str = "") -> Finding:
    """Return what is worth knowing."""
    return Finding(Severity.INFO, sentence, todo)


def ok(sentence: str) -> Finding:
    """Return that something is as it should be."""
    return Finding(Severity.OK, sentence)


def shown(text: str) -> str:
    """Return a name or a value from outside, cut to what a sentence bears."""
    return text if len(text) <= CHARACTERS_SHOWN else text[: CHARACTERS_SHOWN - 1] + "…"


def counted(count: int, one: str, many: str, most: int | None = None) -> str:
    """Return `1 order`, `5 orders`; `10000 or more orders` when counting stopped there."""
    if count == 1:
        return f"1 {one}"
    return f"{count} or more {many}" if count == most else f"{count} {many}"
