"""The shape of the program: who may know whom, and how long a piece may be. Read from the source, nothing is run."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "listener").rglob("*.py"))

# These only compute: time, settings and bytes come in as arguments. So they may know each other, and nobody else.
PURE = {
    "listener.errors",
    "listener.ages",
    "listener.doctor.findings",
    "listener.doctor.outside",
    "listener.doctor.quoting",
    "listener.doctor.schema",
    "listener.doctor.seen.schema",
    "listener.doctor.seen.server",
    "listener.doctor.seen.work",
    "listener.doctor.server",
    "listener.doctor.sessions",
    "listener.doctor.steering",
    "listener.doctor.tables",
    "listener.doctor.work",
    "listener.story.brief",
    "listener.story.dossier",
    "listener.events",
    "listener.false_alarms",
    "listener.flags",
    "listener.headway",
    "listener.health",
    "listener.history",
    "listener.locks",
    "listener.manual_pattern",
    "listener.minute_book",
    "listener.minutes",
    "listener.snapshot",
    "listener.orders",
    "listener.periodic",
    "listener.story.prospects",
    "listener.story.requeue",
    "listener.rollout",
    "listener.dormancy",
    "listener.phases",
    "listener.schedule",
    "listener.shipstation.details",
    "listener.shipstation.detour",
    "listener.shipstation.flaws",
    "listener.shipstation.labels",
    "listener.shipstation.listing",
    "listener.shipstation.pacific",
    "listener.shipstation.payload",
    "listener.shipstation.watermark",
    "listener.shipstation.window",
    "listener.sources.drive.answers",
    "listener.sources.drive.key",
    "listener.sources.drive.setbacks",
    "listener.sources.letters",
    "listener.sources.markup",
    "listener.sources.source",
    "listener.sources.xcart",
    "listener.story.standing",
    "listener.state",
    "listener.story.timeline",
    "listener.transitions",
    "listener.story.wording",
}
# Its waits are computed; what sleeps in it is only ever used by the edges.
NEARLY_PURE = {"listener.retry"}
OUTSIDE_WORLD = {"socket", "time", "os", "logging", "psycopg", "urllib3", "threading", "select", "selectors"}


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(source: str) -> set[str]:
    """Return every name that `source` imports, also inside functions, with all that it could mean as a module."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import hides whom it means"
            found |= {str(node.module)} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def within(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


def known_to(path: Path) -> set[str]:
    return imports(path.read_text())


def among(names: set[str], *packages: str) -> set[str]:
    return {name for name in names if within(name, *packages)}


def functions(source: str) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or 0) - node.lineno + 1


def each(paths: list[Path]) -> pytest.MarkDecorator:
    assert paths, "this rule has lost its modules: were they renamed?"
    return pytest.mark.parametrize("path", paths, ids=module_name)


def outside(*packages: str) -> list[Path]:
    return [path for path in SOURCES if not within(module_name(path), *packages)]


def inside(*packages: str) -> list[Path]:
    return [path for path in SOURCES if within(module_name(path), *packages)]


def test_every_module_that_is_called_pure_is_there() -> None:
    assert {module_name(path) for path in SOURCES} >= PURE | NEARLY_PURE


@each(inside(*PURE))
def test_a_pure_module_knows_no_clock_no_wire_and_no_database(path: Path) -> None:
    assert not among(known_to(path), *OUTSIDE_WORLD)


@each(inside(*PURE))
def test_a_pure_module_knows_only_pure_modules(path: Path) -> None:
    packages = {name.rpartition(".")[0] for name in PURE}  # `from listener.shipstation import window` names both
    ours = among(known_to(path), "listener") - packages
    assert not ours - among(ours, *PURE, *NEARLY_PURE)


@each(outside("listener.cli", "listener.embedded"))
def test_what_runs_in_production_knows_neither_simulators_nor_the_embedded_server(path: Path) -> None:
    assert not among(known_to(path), "listener.embedded")


@each(outside("listener.cli"))
def test_nobody_knows_the_commands(path: Path) -> None:
    assert not among(known_to(path), "listener.cli")


@each(outside("listener.cli", "listener.doctor"))
def test_nobody_but_its_command_knows_the_doctor(path: Path) -> None:
    known = among(known_to(path), "listener.doctor") - {"listener.doctor"}
    assert not known - among(known, "listener.doctor.seen")  # the values that the store fills


@each(inside("listener.store"))
def test_the_store_knows_no_workflow_and_no_loop(path: Path) -> None:
    assert not among(known_to(path), "listener.workflows", "listener.daemon", "listener.status")


@each(inside("listener.workflows"))
def test_a_workflow_knows_neither_the_loop_nor_the_page(path: Path) -> None:
    assert not among(known_to(path), "listener.daemon", "listener.status")


SIMULATED = {
    "listener.embedded.control",
    "listener.embedded.drive",
    "listener.embedded.fault",
    "listener.embedded.faults",
    "listener.embedded.loopback",
    "listener.embedded.shipstation",
    "listener.embedded.simulator",
}


@each(inside(*SIMULATED))
def test_a_simulator_knows_nothing_of_the_program_it_tests(path: Path) -> None:
    ours = among(known_to(path), "listener") - {"listener.embedded"}
    assert not ours - among(ours, *SIMULATED)


@each(outside("listener.sources.drive.tokens"))
def test_one_module_alone_knows_google_auth(path: Path) -> None:
    assert not among(known_to(path), "google")


@each(SOURCES)
def test_a_function_fits_on_a_screen(path: Path) -> None:
    assert not [(name, lines) for name, lines in functions(path.read_text()) if lines > 50]


@each(SOURCES)
def test_a_module_has_at_most_300_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 300


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import os.path", "os.path"),
        ("from time import monotonic", "time"),
        ("def f():\n    import socket", "socket"),
        ("from listener import embedded", "listener.embedded"),
        ("try:\n    import select as s\nexcept ImportError:\n    raise", "select"),
    ],
)
def test_an_import_is_seen_however_it_is_written(source: str, found: str) -> None:
    assert found in imports(source)


def test_a_name_that_only_begins_alike_is_another() -> None:
    assert not within("listener.stores", "listener.store")
    assert not within("timeit", "time")


def test_the_length_of_a_function_counts_its_first_and_its_last_line() -> None:
    assert list(functions("class A:\n    def f(self):\n        pass\n\n        pass\n")) == [("f", 4)]
