"""The test run's own Postgres: one cluster a run, and a database a test, copied from a template in some 20 ms.

The rule: nobody stays connected to a template, or it can't be copied. Tests that break the server itself take an
`EmbeddedPostgres` of their own; this one is shared.
"""

import itertools
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psycopg
import testing.postgresql
from psycopg import sql

from listener.embedded.postgres import (
    DEFAULT_SETTINGS,
    answers,
    create_data_folder,
    find_binaries,
    free_port,
    server_command,
    server_url,
    temporary_folder,
)
from listener.embedded.postgres_folder import OwnedFolder
from tests.support.wait import eventually

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of its own is made in it, closed to others
ENOUGH_BYTES = 256 * 2**20  # containers have 64 MB by default, and one cluster with its databases fills that
SEQUENCE = itertools.count(1)


def fast_folder() -> Path:
    """Return where to put a cluster: in memory when there is room, else the temporary folder."""
    roomy = SHARED_MEMORY.is_dir() and shutil.disk_usage(SHARED_MEMORY).free >= ENOUGH_BYTES
    return SHARED_MEMORY if roomy and os.access(SHARED_MEMORY, os.W_OK) else temporary_folder()


class Cluster(testing.postgresql.Postgresql):
    """testing.postgresql with the listener's own choice of programs and user, which runs as root too.

    The original takes what stands on PATH first, refuses root, and looks through another driver every 100 ms.
    """

    def initialize(self) -> None:
        self.binaries = find_binaries()
        self.settings["port"] = free_port()

    def setup(self) -> None:
        create_data_folder(self.binaries, Path(self.get_data_directory()))

    def get_server_commandline(self) -> list[str]:
        data = Path(self.get_data_directory())
        return server_command(self.binaries, data, self.settings["port"], DEFAULT_SETTINGS)

    def wait_booting(self) -> None:
        eventually(lambda: self.child_process.poll() is not None or self.is_server_available(), timeout=30)
        if self.child_process.poll() is not None:
            raise RuntimeError(self.read_bootlog())

    def is_server_available(self) -> bool:
        return answers(self.settings["port"])

    def poststart(self) -> None:
        """Leave out what the original does here: it makes a database that no test uses."""

    def url(self, dbname: str = "postgres") -> str:
        return server_url(self.settings["port"], dbname)

    @contextmanager
    def database(self, template: str = "template0") -> Iterator[str]:
        """Make a database of its own name as a copy of `template`, yield its URL, and drop it, sessions and all."""
        name = sql.Identifier(f"t{os.getpid()}_{next(SEQUENCE)}")
        with psycopg.connect(self.url(), autocommit=True) as admin:
            # file_copy: from 15 on the default writes every page of the copy to the log, which takes twice as long.
            how = sql.SQL("strategy file_copy" if admin.info.server_version >= 150000 else "")
            admin.execute(sql.SQL("create database {} template {} {}").format(name, sql.Identifier(template), how))
            for setting, value in database_settings(admin, template).items():
                change = sql.SQL("alter database {} set {} = {}")
                admin.execute(change.format(name, sql.Identifier(*setting.split(".")), sql.Literal(value)))
        try:
            yield self.url(name.as_string().strip('"'))
        finally:
            with psycopg.connect(self.url(), autocommit=True) as admin:
                admin.execute(sql.SQL("drop database if exists {} with (force)").format(name))


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """Run a cluster for the length of a block, and remove its folder afterwards."""
    folder = OwnedFolder(fast_folder())
    try:
        with Cluster(base_dir=str(folder.path)) as cluster:
            yield cluster
    finally:
        folder.remove()


def database_settings(admin: psycopg.Connection, dbname: str) -> Mapping[str, str]:
    """Return what ALTER DATABASE ... SET has left on a database: a copy of it does not inherit that."""
    rows = admin.execute(
        "select unnest(setconfig) from pg_db_role_setting join pg_database d on d.oid = setdatabase"
        " where d.datname = %s and setrole = 0",
        (dbname,),
    )
    return dict(row[0].split("=", 1) for row in rows)
