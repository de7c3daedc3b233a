"""The doctor in the test's own process: what it finds on a database, and psql doing what it says."""

from collections.abc import Iterable
from typing import Any

from listener import install
from listener.doctor.checks import CHECKS
from listener.doctor.examination import examine
from listener.doctor.findings import Finding, Severity
from listener.doctor.report import as_sql
from tests.support.psql import psql
from tests.support.wait import eventually

BAD = (Severity.ERROR, Severity.WARNING)


def examined(url: str, *checks: str, offline: bool = True, **environment: str) -> list[Finding]:
    """Return what doctor finds on a database: with all checks, or with those of these names."""
    chosen = [check for check in CHECKS if check.name in checks] if checks else CHECKS
    assert len(chosen) >= len(checks), f"no such check among {[check.name for check in CHECKS]}"
    usual = {"DATABASE_URL": url, "STATUS_ADDRESS": "off"}
    return examine(usual | environment, offline=offline, checks=chosen)


def bad(findings: Iterable[Finding]) -> list[Finding]:
    """Return the errors and warnings."""
    return [found for found in findings if found.severity in BAD]


def complaints(findings: Iterable[Finding]) -> list[tuple[str, str]]:
    """Return check and severity of each error and warning."""
    return [(found.check, found.severity.value) for found in bad(findings)]


def the_one(url: str, check: str, severity: str, *checks: str, **environment: Any) -> Finding:
    """Return the one thing that is wrong, which this check finds; nothing else may be."""
    findings = examined(url, *checks, **environment)
    assert complaints(findings) == [(check, severity)], [found for found in bad(findings)]
    return bad(findings)[0]


def mend(url: str, findings: Iterable[Finding]) -> None:
    """Have psql run the SQL of these findings, as `listener doctor --sql | psql` does; any error fails."""
    script = as_sql(list(findings), install.script)
    assert script, "no SQL mends that"
    psql(url, given=script)


def mends(url: str, *checks: str) -> bool:
    """Whether the SQL that doctor prints leaves it nothing to complain of, once the sessions that it ends have left."""
    mend(url, examined(url, *checks))
    return is_well(url, *checks)


def is_well(url: str, *checks: str) -> bool:
    """Whether doctor has nothing to complain of, now or soon."""
    eventually(lambda: bad(examined(url, *checks)), lambda found: not found, timeout=20)  # one look may take seven
    return True
