"""Every line of the log has an event, so that a program need not read its words; read from the source."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "listener").rglob("*.py"))
LEVELS = {"debug", "info", "warning", "error", "exception", "critical", "log"}


def log_calls(source: str) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LEVELS:
            owner = node.func.value
            if isinstance(owner, ast.Name) and owner.id in ("logger", "logging"):
                yield node


def event_of(call: ast.Call) -> str | None:
    """Return the event that a call names; None when it names none, or one that only shows when it runs."""
    for keyword in call.keywords:
        if keyword.arg == "extra" and isinstance(keyword.value, ast.Dict):
            for name, value in zip(keyword.value.keys, keyword.value.values, strict=True):
                if isinstance(name, ast.Constant) and name.value == "event" and isinstance(value, ast.Constant):
                    return str(value.value)
    return None


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_log_call_names_its_event(path: Path) -> None:
    assert [call.lineno for call in log_calls(path.read_text()) if event_of(call) is None] == []


def test_an_event_is_a_word_that_stays() -> None:
    events = {event_of(call) for path in SOURCES for call in log_calls(path.read_text())}
    assert len(events) > 20
    assert [event for event in events if event is None or not event.replace("_", "").isalpha()] == []


@pytest.mark.parametrize(
    ("source", "event"),
    [
        ("logger.info('x', extra={'event': 'started'})", "started"),
        ("logger.info('x')", None),
        ("logger.info('x', extra={'event': name})", None),
        ("logging.warning('x', extra={'other': 1})", None),
    ],
)
def test_the_event_of_a_call_is_found(source: str, event: str | None) -> None:
    assert [event_of(call) for call in log_calls(source)] == [event]
