"""The model speaks of the program as it is: what it names is there."""

import importlib
import re
from pathlib import Path

import pytest

from listener.events import Phase

ROOT = Path(__file__).parents[2]
MODEL = Path(__file__).with_name("bell.pml").read_text()
COMMENTS = " ".join(re.findall(r"/\*.*?\*/", MODEL, re.DOTALL))
PACKAGES = {path.stem for path in (ROOT / "listener").iterdir()}
NAMES = sorted(
    {name for name in re.findall(r"\b[a-z_]+(?:\.\w+)+", COMMENTS) if name.split(".")[0] in PACKAGES} - {"bell.pml"}
)


def resolve(name: str) -> object:
    """Return what a dotted name below `listener` stands for. Raises AttributeError or ModuleNotFoundError."""
    parts = name.removesuffix(".py").split(".")
    modules = 2 if parts[0] == "store" else 1
    found: object = importlib.import_module(".".join(["listener", *parts[:modules]]))
    for part in parts[modules:]:
        found = getattr(found, part)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_name_in_the_model_is_one_of_the_program(name: str) -> None:
    assert resolve(name)


def test_names_are_found_at_all() -> None:
    assert {"bell.MARK_SQL", "transitions._asked", "store.inbox.claim_due_rows", "schedule.py"} <= set(NAMES)


def test_files_that_the_model_names_are_there() -> None:
    files = re.findall(r"sql/\w+\.up\.sql|sql/\w+\.down\.sql", COMMENTS)
    assert files
    assert all((ROOT / file).exists() for file in files)
    assert "function listener.ring_for_inserted_orders" in (ROOT / "sql/003_notify.up.sql").read_text()


def test_the_model_has_the_phases_of_the_program() -> None:
    (phases,) = re.findall(r"mtype = \{ (.*) \};  /\* events.Phase", MODEL)
    assert set(phases.split(", ")) == {phase.name for phase in Phase}
