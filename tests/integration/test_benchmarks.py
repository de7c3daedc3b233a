"""The benchmarks still start, and still measure something: no figure of theirs is looked at here."""

import importlib
import itertools
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import psycopg
import pytest
from psycopg import conninfo

BENCH = Path(__file__).parents[2] / "scripts" / "bench"
SCRIPTS = sorted(path.name for path in BENCH.glob("*.py") if "parse_args" in path.read_text())


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Import the benchmarks' modules by name, as their scripts do; they are forgotten afterwards."""
    known = set(sys.modules)
    monkeypatch.syspath_prepend(str(BENCH))

    def module(name: str) -> ModuleType:
        return importlib.import_module(name)

    yield module
    for name in set(sys.modules) - known:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(BENCH)):
            del sys.modules[name]


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_benchmark_explains_itself(
    bench: Any, script: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [script, "--help"])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(BENCH / script), run_name="__main__")
    assert (end.value.code, "usage:" in capsys.readouterr().out) == (0, True)


def test_a_check_and_a_claim_are_measured_at_each_size(bench: Any, dsn: str) -> None:
    growth = bench("growth")
    with psycopg.connect(dsn, autocommit=True) as operator:
        inbox = growth.Inbox(300, dsn, operator)
        inbox.fill()
        empty = growth.checks([inbox], 3)
        operator.execute(growth.PENDING)
        claimed = growth.claims([inbox], 4)
        result = {"empty": empty, "pending": empty, "claim": claimed, "bloat": growth.bloat(inbox, 200, 3)}
    assert [len(values) for values in (empty["300"], claimed["300"])] == [3, 2]
    assert all("300" in table.text() for table in growth.tables(result))


def test_commits_of_writers_are_counted(bench: Any, cluster: Any, dsn: str, tmp_path: Path) -> None:
    writers = bench("writers")
    database = conninfo.conninfo_to_dict(dsn)["dbname"]
    with psycopg.connect(dsn, autocommit=True) as operator:
        operator.execute("create sequence bench_number")
        port = SimpleNamespace(port=cluster.settings["port"], pid=cluster.child_process.pid)
        stage = writers.Bench(port, dsn, operator, tmp_path, backlog=0)
        script = stage.orders().script
        told = writers.one_run(stage, writers.Run(database, script), clients=1, seconds=1)
        (orders,) = operator.execute("select count(*) from orders_inbox").fetchone() or (0,)
    assert told["commits"] > 0 and orders > 0


def test_what_is_published_is_made_of_the_figures_that_are_kept(bench: Any) -> None:
    made = bench("report").made_anew()
    assert [path.name for path, text in made.items() if path.read_text() != text] == []


def test_labels_of_a_drawing_never_cover_each_other(bench: Any) -> None:
    placed = bench("graphs").apart([10, 11, 30, 96, 99], gap=15, lowest=100)
    assert all(below - above >= 15 for above, below in itertools.pairwise(placed))
    assert placed[-1] <= 100


def test_a_goal_is_met_at_its_bound_and_missed_past_it(bench: Any) -> None:
    goals = bench("goals")
    most = goals.Goal("any", "any", lambda _: None, at_most=5)
    least = goals.Goal("any", "any", lambda _: None, at_least=5)
    below = goals.Goal("any", "any", lambda _: None, below=5)
    assert (most.met(5), most.met(5.1), least.met(5), least.met(4.9)) == (True, False, True, False)
    assert (below.met(4.9), below.met(5)) == (True, False)
