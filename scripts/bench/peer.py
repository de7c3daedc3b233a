"""One of the peers as a process of its own: its tables, a worker, or somebody who enqueues jobs. Runs in .venv-peers.

    python scripts/bench/peer.py procrastinate|pgqueuer install|work|enqueue|fill|sql URL [--jobs N] [--width N]

A worker prints the time at which each `entered` job's body was entered; `noop` jobs do nothing. Who enqueues does it
at each line of stdin, and prints when the call had returned. Times are nanoseconds of the machine's clock, which is the
database server's too. `sql` prints what the peer's client sends to enqueue one job. Each is set up as its documentation
has it for a worker in production: woken by NOTIFY, with the poll that stands behind that left at its default. Only
PgQueuer's log is not folded into its statistics: our times come from it.
"""

import argparse
import asyncio
import logging
import os
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from typing import Any

A_BATCH = 1000


def say_time() -> None:
    os.write(1, f"{time.time_ns()}\n".encode())


async def at_each_line(enqueue: Callable[[], Awaitable[Any]]) -> None:
    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(None, sys.stdin.readline):
        await enqueue()
        say_time()


class Procrastinate:
    """procrastinate on psycopg's pool, a connection for each job that runs at the same time and one to listen."""

    def __init__(self, url: str, width: int) -> None:
        import procrastinate  # noqa: PLC0415 - each process has one of the two

        self.width = width
        connector = procrastinate.PsycopgConnector(conninfo=url, min_size=2, max_size=width + 2)
        self.app = procrastinate.App(connector=connector)
        self.entered = self.app.task(name="entered")(self._entered)
        self.noop = self.app.task(name="noop")(self._noop)

    async def _entered(self) -> None:
        say_time()

    async def _noop(self) -> None:
        pass

    async def install(self) -> None:
        async with self.app.open_async():
            await self.app.schema_manager.apply_schema_async()

    async def work(self) -> None:
        async with self.app.open_async():
            await self.app.run_worker_async(concurrency=self.width)

    async def enqueue(self) -> None:
        async with self.app.open_async():
            await at_each_line(self.entered.defer_async)

    async def fill(self, jobs: int) -> None:
        async with self.app.open_async():
            for _ in range(0, jobs, A_BATCH):
                await self.noop.batch_defer_async(*[{}] * A_BATCH)

    async def sql(self) -> None:
        from procrastinate.sql import queries  # noqa: PLC0415 - as above

        job = "array[('default', 'noop', 0, null, null, '{}', null)]"
        print(queries["defer_jobs"].replace("%(jobs)s", job), end=";")


class PgQueuer:
    """PgQueuer on one asyncpg connection, and on uvloop, as its own command runs it."""

    def __init__(self, url: str, width: int) -> None:
        self.url, self.width = url.partition("?")[0], width

    async def _connect(self) -> Any:
        import asyncpg  # noqa: PLC0415 - as above

        return await asyncpg.connect(self.url, ssl=False)

    async def _queries(self) -> Any:
        from pgqueuer.db import AsyncpgDriver  # noqa: PLC0415 - as above
        from pgqueuer.queries import Queries  # noqa: PLC0415

        return Queries(AsyncpgDriver(await self._connect()))

    async def install(self) -> None:
        await (await self._queries()).install()

    async def work(self) -> None:
        from pgqueuer import PgQueuer as Worker  # noqa: PLC0415 - as above

        worker = Worker.from_asyncpg_connection(await self._connect())

        @worker.entrypoint("entered")
        async def entered(_: Any) -> None:
            say_time()

        @worker.entrypoint("noop")
        async def noop(_: Any) -> None:
            pass

        await worker.run(batch_size=self.width, log_aggregation_interval=timedelta(0))

    async def enqueue(self) -> None:
        queries = await self._queries()
        await at_each_line(lambda: queries.enqueue("entered", None))

    async def fill(self, jobs: int) -> None:
        queries = await self._queries()
        for _ in range(0, jobs, A_BATCH):
            await queries.enqueue(["noop"] * A_BATCH, [None] * A_BATCH, [0] * A_BATCH)

    async def sql(self) -> None:
        query = (await self._queries()).qbq.build_enqueue_query()
        for number, value in enumerate(("{0}", "{noop}", "{NULL}", "{00:00:00}", "{NULL}", '{"null"}'), start=1):
            query = query.replace(f"${number}::", f"'{value}'::")
        print(query, end=";")


def run(what: Coroutine[Any, Any, None], peer: str) -> None:
    if peer == "pgqueuer":
        import uvloop  # noqa: PLC0415 - as above

        uvloop.run(what)
    else:
        asyncio.run(what)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer", choices=["procrastinate", "pgqueuer"])
    parser.add_argument("role", choices=["install", "work", "enqueue", "fill", "sql"])
    parser.add_argument("url")
    parser.add_argument("--jobs", type=int, default=A_BATCH)
    parser.add_argument("--width", type=int, default=10, help="jobs at a time, or a batch")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    peer = (Procrastinate if options.peer == "procrastinate" else PgQueuer)(options.url, options.width)
    run(peer.fill(options.jobs) if options.role == "fill" else getattr(peer, options.role)(), options.peer)


if __name__ == "__main__":
    main()
