"""What the papers name is there: the tests and lines that hold the plan, the sentences that an operator will read."""

import re
from pathlib import Path

import pytest

from listener.doctor.checks import CHECKS

ROOT = Path(__file__).parents[2]
PLAN = (ROOT / "tests" / "acceptance" / "PLAN.md").read_text()
SECURITY = (ROOT / "SECURITY.md").read_text()
RUNBOOK = (ROOT / "RUNBOOK.md").read_text()

TESTS = set(re.findall(r"^def (test_\w+)", "\n".join(f.read_text() for f in (ROOT / "tests").rglob("*.py")), re.M))


def named(kind: str) -> set[str]:
    """Return what stands in PLAN.md behind `kind: `, but for what is told in words around it."""
    found = re.findall(rf"\b{kind}: ([^;|`]+?)(?:;| \||$)", PLAN, re.M)
    return {name.strip() for name in found if "…" not in name}


def test_every_test_that_the_plan_is_held_by_is_there() -> None:
    mentioned = set(re.findall(r"`(test_\w+)`", PLAN))
    assert len(mentioned) > 50
    assert not mentioned - TESTS


def test_every_test_that_a_defence_is_held_by_is_there_and_every_defence_has_one() -> None:
    mentioned = set(re.findall(r"`(test_\w+)`", SECURITY))
    assert not mentioned - TESTS
    rows = re.findall(r"^\| (?!---|what |mistake )(.+) \|$", SECURITY, re.M)
    assert len(rows) > 25
    assert not [row for row in rows if "`test_" not in row.rpartition(" | ")[2]]


@pytest.mark.parametrize(
    ("kind", "source"), [("verify", "sql/verify.sql"), ("validate", "listener/rollout.py"), ("RUNBOOK", "RUNBOOK.md")]
)
def test_every_line_that_the_plan_is_held_by_is_there(kind: str, source: str) -> None:
    text = (ROOT / source).read_text()
    text = text.replace("{workflow}", "upload") + text.replace("{workflow}", "xml-import")
    lines = named(kind)
    assert len(lines) >= 4
    assert not [line for line in lines if line not in text]


def test_the_runbook_explains_every_degraded_sentence() -> None:
    source = (ROOT / "listener" / "publish.py").read_text()
    sentences = re.findall(r"reasons\.append\(\s*f?\"([^\"{#]+)", source)
    assert len(sentences) > 6
    assert not [begin for begin in sentences if begin.split(":")[0].strip() not in RUNBOOK]


def test_the_runbook_says_of_every_alert_what_to_do() -> None:
    alerts = re.findall(r"- alert: (\w+)", (ROOT / "scripts" / "deploy" / "prometheus-rules.yml").read_text())
    assert len(alerts) > 10
    assert not [alert for alert in alerts if f"`{alert}`" not in RUNBOOK]


def test_the_runbook_names_checks_that_the_doctor_makes() -> None:
    named = re.findall(r"`listener doctor`(?: sees one that still runs)?:? [^|\n]*", RUNBOOK)
    checks = {name for text in named for name in re.findall(r"\*([\w ]+)\*", text)}
    assert len(checks) >= 4
    assert not checks - {check.name for check in CHECKS}


@pytest.mark.parametrize("paper", ["README.md", "RUNBOOK.md", "ARCHITECTURE.md", "SECURITY.md", "RELIABILITY.md"])
def test_every_file_that_a_paper_names_is_there(paper: str) -> None:
    text = (ROOT / paper).read_text()
    files = set(re.findall(r"\b((?:sql|scripts)/[\w./]+\.(?:sql|py|sh|service|yml))\b", text))
    assert files
    assert not [file for file in files if not (ROOT / file).exists()]
