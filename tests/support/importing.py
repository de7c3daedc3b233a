"""The import in the test's own process: a folder, a real database, and a clock that the test moves."""

from pathlib import Path
from typing import Any

import psycopg

from listener.database import Connection, connect_step
from listener.events import StepReport
from listener.metrics import Metrics
from listener.sources.folder import Folder
from listener.workflows.import_xml import ImportXml

SAMPLES = Path(__file__).parent.parent / "data" / "xml"


class Shop:
    """The import over a folder and a database, with a clock that the test moves."""

    def __init__(self, dsn: str, path: Path) -> None:
        self.dsn, self.path, self.now = dsn, path, 100.0
        self.db = psycopg.connect(dsn, autocommit=True)
        self.metrics = Metrics("test")
        self.connections: list[Connection] = []
        self.workflow = self.another()

    def another(self) -> ImportXml:
        """Return the import as a process that was just started has it."""
        return ImportXml(self.connect, Folder(self.path, lambda: self.now), self.metrics)

    def connect(self) -> Connection:
        self.connections.append(connect_step(self.dsn, "test step"))
        return self.connections[-1]

    def put(self, name: str, content: bytes | None = None) -> None:
        (self.path / name).write_bytes((SAMPLES / name).read_bytes() if content is None else content)

    def step(self, wake: str = "heartbeat") -> StepReport:
        return self.workflow.step(wake)

    def settle_and_step(self) -> StepReport:
        """Take a step after everything in the folder has stood still."""
        self.step()
        self.now += 1
        return self.step()

    def run(self) -> None:
        """Import whatever is there."""
        for _ in range(10):
            if not self.settle_and_step().more:
                return
        raise AssertionError("after ten steps there still is more")

    def rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        return self.db.execute(query.encode(), parameters).fetchall()

    def numbers(self) -> list[str]:
        return [number for (number,) in self.rows("select order_number from orders_inbox order by id")]

    def close(self) -> None:
        self.workflow.close()
        for connection in (self.db, *self.connections):
            connection.close()


def orders_xml(*numbers: str, sku: str = "50001", amount: str = "1") -> bytes:
    line = f"<order_detail><amount>{amount}</amount><productid>{sku}</productid></order_detail>"
    return "".join(
        ["<orders>", *(f"<order><orderid>{n}</orderid>{line}</order>" for n in numbers), "</orders>"]
    ).encode()
