"""Findings as a person reads them, as a program does, and as psql runs them."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict

from listener.doctor.findings import Finding, Severity
from listener.lines import QUOTED, wrapped

INDENT = " " * 9

BASE_TABLES = "base_tables.sql"


def has_errors(findings: Iterable[Finding]) -> bool:
    """Whether doctor fails."""
    return any(found.severity is Severity.ERROR for found in findings)


def as_text(findings: Sequence[Finding]) -> str:
    """Return a line or a few for each finding, and one that sums up."""
    return "\n".join([line for found in findings for line in _lines(found)] + ["", *_sum(findings)])


def _lines(found: Finding) -> Iterator[str]:
    yield wrapped(f"{found.severity:7}  {found.check}: {found.sentence}", INDENT)
    if found.todo:
        yield wrapped(f"to do: {found.todo}", f"{INDENT}  ", first=INDENT)
    for statement in found.sql:
        if not statement.startswith("set "):
            yield wrapped(statement, f"{INDENT}  ", first=INDENT, whole=QUOTED)
    if found.files and "listener install" not in found.sentence:
        yield f"{INDENT}`{_install(found.files)}`"


def _install(files: Sequence[str]) -> str:
    return "listener install --base-tables" if BASE_TABLES in files else "listener install"


def _sum(findings: Sequence[Finding]) -> Iterator[str]:
    counts = Counter(found.severity for found in findings)
    errors, warnings = counts[Severity.ERROR], counts[Severity.WARNING]
    if not (errors or warnings):
        yield "nothing is wrong"
        return
    yield f"{_number(errors, 'error')}, {_number(warnings, 'warning')}"
    if any(found.is_mended_by_sql for found in findings):
        yield 'what SQL can mend: `listener doctor --sql | psql "$DATABASE_URL"`'


def _number(count: int, word: str) -> str:
    return f"{count or 'no'} {word}{'' if count == 1 else 's'}"


def as_json(findings: Sequence[Finding]) -> dict[str, object]:
    """Return what `--json` prints."""
    counts = Counter(found.severity for found in findings)
    return {
        "ok": not has_errors(findings),
        **{f"{severity}s": counts[severity] for severity in (Severity.ERROR, Severity.WARNING)},
        "findings": [{"check": found.check, **asdict(found)} for found in findings],
    }


def as_sql(findings: Sequence[Finding], script: Callable[[Iterable[str]], str]) -> str:
    """Return the SQL that mends what SQL can mend; '' when there is nothing.

    script: returns the text of files of sql/. Each comes once, in their own order, after the statements of all findings
    that need one; the statements of later findings follow.
    """
    needy = [index for index, found in enumerate(findings) if found.files]
    last = needy[-1] if needy else -1
    files = sorted({file for found in findings for file in found.files}, key=_place)
    parts = [_statements(found) for found in findings[: last + 1]]
    parts += [script(files)] if files else []
    parts += [_statements(found) for found in findings[last + 1 :]]
    return "".join(parts)


def _place(file: str) -> tuple[bool, str]:
    return file != BASE_TABLES, file


def _statements(found: Finding) -> str:
    return "".join(f"{statement}\n" for statement in found.sql)


def left_for_a_person(findings: Sequence[Finding]) -> int:
    """Return how many errors and warnings no SQL of ours mends."""
    bad = (Severity.ERROR, Severity.WARNING)
    return sum(found.severity in bad and not found.is_mended_by_sql for found in findings)
