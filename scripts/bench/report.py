"""BENCHMARKS.md's tables and drawings, from the figures in docs/benchmarks/.

    python scripts/bench/report.py

Whatever stands between the marks of a section is made anew; the words around them are a person's. A scenario may have
two files, of the usual run and of --full; both are shown, and goals are held against the larger.
"""

import json
import re
from pathlib import Path
from typing import Any

import graphs
import machine
from goals import verdicts
from scenarios import SCENARIOS, Result, tables

ROOT = Path(__file__).parents[2]
PAPER = ROOT / "BENCHMARKS.md"
FOLDER = ROOT / "docs" / "benchmarks"


def path_of(name: str, size: str) -> Path:
    return FOLDER / (f"{name}-full.json" if size == "full" else f"{name}.json")


def publish(result: Result) -> None:
    """Keep one scenario's figures, and make what shows them anew."""
    FOLDER.mkdir(exist_ok=True)
    path_of(result["scenario"], result["size"]).write_text(json.dumps(result, separators=(",", ":")) + "\n")
    write()


def kept(name: str) -> list[Result]:
    """Return what there is of a scenario: of the usual run, then of the full one."""
    paths = [path_of(name, size) for size in ("usual", "full")]
    return [json.loads(path.read_text()) for path in paths if path.exists()]


def section(results: list[Result]) -> str:
    parts: list[str] = []
    for result in results:
        command = f"scripts/bench/run {result['scenario']}" + (" --full" if result["size"] == "full" else "")
        parts += [table.markdown() for table in tables(result)]
        parts.append(f"`{command}`, {machine.in_words(result['machine'])}")
    return "\n\n".join(parts)


def between_marks(text: str, name: str, new: str) -> str:
    """Put `new` between the marks of a section. Raises ValueError when there are none."""
    pattern = rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)"
    changed, count = re.subn(pattern, lambda found: f"{found[1]}{new}\n{found[2]}", text, flags=re.DOTALL)
    if count != 1:
        raise ValueError(f"{PAPER.name} has no section {name}")
    return changed


def made_anew() -> dict[Path, str]:
    """Return what each file should say: the paper, and the drawings."""
    text = PAPER.read_text()
    newest: dict[str, dict[str, Any]] = {}
    for name in SCENARIOS:
        if results := kept(name):
            text = between_marks(text, name, section(results))
            newest[name] = results[-1]["figures"]
    return {PAPER: between_marks(text, "goals", verdicts(newest).markdown()), **graphs.drawings(newest)}


def write() -> None:
    for path, text in made_anew().items():
        path.write_text(text)


if __name__ == "__main__":
    write()
