"""Every runtime statement is understood by the server, on the schema that `install` makes."""

import importlib
import pkgutil
import re

import psycopg
import pytest

import listener.store


def statements() -> dict[str, str]:
    modules = ["listener.bell", "listener.leader", "listener.wake", "listener.database"]
    modules += [f"listener.store.{module.name}" for module in pkgutil.iter_modules(listener.store.__path__)]
    found = {}
    for name in modules:
        for constant, value in vars(importlib.import_module(name)).items():
            if constant.endswith("_SQL") and isinstance(value, str) and not constant.startswith("_"):
                found[f"{name}.{constant}"] = value
    return found


def numbered(query: str) -> str:
    """Return the query with psycopg's placeholders as PREPARE wants them."""
    names: list[str] = []

    def number(match: re.Match[str]) -> str:
        name = match.group(1) or f"position {len(names)}"
        if name not in names:
            names.append(name)
        return f"${names.index(name) + 1}"

    return re.sub(r"%(?:\((\w+)\))?s", number, query).replace("%%", "%")


@pytest.mark.parametrize("name", statements())
def test_the_server_can_prepare(name: str, dsn: str) -> None:
    query = statements()[name].strip().rstrip(";")
    if query.split()[0] == "notify":
        pytest.skip("NOTIFY cannot be prepared")
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(f"prepare this as {numbered(query)}".encode())
        prepared = connection.execute("select count(*) from pg_prepared_statements").fetchone()
    assert prepared == (1,)
