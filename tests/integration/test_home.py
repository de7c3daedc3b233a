"""The database remembers where it was at the first run; only a person's word changes that."""

from typing import Any

import psycopg
import pytest
from click.testing import CliRunner
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from listener.cli import schema
from listener.database import connect_work
from listener.install import install
from listener.store.home import Home, differences, move_in, note_first_run, read_home, where_it_is
from tests.support.bell import role


def remembered(url: str) -> list[Any] | None:
    with psycopg.connect(url) as connection:
        return read_home(connection)


def test_a_database_is_known_by_its_name_its_cluster_and_the_host_in_the_url(dsn: str) -> None:
    with connect_work(dsn, "listener test") as connection:
        database, cluster, host = where_it_is(connection)
    assert (database, host) == (conninfo_to_dict(dsn)["dbname"], "localhost")
    assert cluster.isdigit()


def test_the_host_is_found_wherever_libpq_takes_it_from(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = conninfo_to_dict(dsn)
    monkeypatch.setenv("PGHOST", "localhost")
    monkeypatch.setenv("PGHOSTADDR", "127.0.0.1")
    with connect_work(make_conninfo("", port=parts["port"], user="postgres", dbname=parts["dbname"]), "t") as there:
        assert where_it_is(there).host == "localhost"
    monkeypatch.setenv("PGHOST", "db.example.com")
    with connect_work(make_conninfo("", port=parts["port"], user="postgres", dbname=parts["dbname"]), "t") as there:
        assert where_it_is(there).host == "db.example.com"


def test_the_first_run_is_remembered_and_no_later_one(dsn: str) -> None:
    first, later = Home("shop", "7100", "db.example.com"), Home("copy", "7200", "localhost")
    with connect_work(dsn, "listener test") as connection:
        assert read_home(connection) is None, "installing is no run"
        note_first_run(connection, first)
        note_first_run(connection, later)
        assert read_home(connection) == list(first)
        assert differences(later, read_home(connection))
        move_in(connection, later)
        assert read_home(connection) == list(later)


def test_a_role_that_may_not_ask_for_the_cluster_is_not_held_for_that(dsn: str) -> None:
    with connect_work(dsn, "listener test") as connection:
        note_first_run(connection, where_it_is(connection))
        connection.execute("revoke execute on function pg_control_system() from public")
        home = read_home(connection)
    with role(dsn, "listener", "") as theirs, connect_work(theirs, "listener test") as connection:
        here = where_it_is(connection)
        assert here.system_identifier == ""
        assert differences(here, home) == ""


def test_only_the_command_with_the_option_moves_home_and_says_where_to(dsn: str) -> None:
    old = Home("shop", "7100", "db.example.com")
    with connect_work(dsn, "listener test") as connection:
        note_first_run(connection, old)
        here = where_it_is(connection)
    install(dsn)
    command = CliRunner(env={"DATABASE_URL": dsn})
    assert command.invoke(schema.install, []).exit_code == 0
    assert remembered(dsn) == list(old)
    done = command.invoke(schema.install, ["--this-is-production"])
    assert done.exit_code == 0
    assert done.stdout.splitlines()[-1] == (
        f"production is here now: database {here.database}, host localhost, cluster {here.system_identifier}"
    )
    assert remembered(dsn) == list(here)


def test_where_home_is_cannot_be_printed_as_sql() -> None:
    done = CliRunner().invoke(schema.install, ["--this-is-production", "--print"])
    assert done.exit_code == 2
    assert done.stdout == ""
