"""One minute's figures: what the listener's process takes, and what its tables have become."""

import re
from dataclasses import dataclass
from pathlib import Path

from tests.support.shop import Connection

SESSIONS = "select count(*) from pg_stat_activity where application_name like 'listener %%'"
OURS = """
select c.oid::regclass::text, pg_total_relation_size(c.oid), coalesce(s.n_dead_tup, 0)
from pg_class c left join pg_stat_user_tables s on s.relid = c.oid
where c.relkind = 'r' and (c.relnamespace = 'listener'::regnamespace
                           or c.oid in ('polling_state'::regclass, 'sync_watermark'::regclass))
order by 1
"""
DONE = "select count(*) from orders_inbox where status <> 'awaiting_shipment'"


@dataclass(frozen=True)
class Table:
    """What a table has become; `dead`: versions of rows that nobody sees, as the server counts them."""

    size: int
    rows: int
    dead: int


@dataclass(frozen=True)
class Sample:
    """One minute. `age`: of the listener's process, in minutes; memory in MB."""

    minute: int
    fault: str
    pid: int
    age: int
    memory: float
    descriptors: int
    threads: int
    connections: int
    tables: dict[str, Table]
    written: int
    done: int

    HEAD = "minute    age  memory  files  threads  sessions  tables MB    dead  written     done  fault"

    def line(self) -> str:
        size = sum(table.size for table in self.tables.values()) / 1e6
        dead = sum(table.dead for table in self.tables.values())
        return (
            f"{self.minute:6d} {self.age:6d} {self.memory:7.1f} {self.descriptors:6d} {self.threads:8d}"
            f" {self.connections:9d} {size:10.2f} {dead:7d} {self.written:8d} {self.done:8d}  {self.fault}"
        )


def take_sample(db: Connection, pid: int, *, minute: int, fault: str, age: int, written: int) -> Sample:
    """Measure the process, and the database that it works on."""
    status = Path(f"/proc/{pid}/status").read_text()
    return Sample(
        minute=minute,
        fault=fault,
        pid=pid,
        age=age,
        memory=_number(status, "VmRSS") / 1024,
        descriptors=len(list(Path(f"/proc/{pid}/fd").iterdir())),
        threads=_number(status, "Threads"),
        connections=_value(db, SESSIONS),
        tables={name: Table(size, _rows(db, name), dead) for name, size, dead in db.execute(OURS).fetchall()},
        written=written,
        done=_value(db, DONE),
    )


def _number(status: str, name: str) -> int:
    match = re.search(rf"^{name}:\s+(\d+)", status, re.MULTILINE)
    assert match is not None
    return int(match.group(1))


def _rows(db: Connection, table: str) -> int:
    return _value(db, f"select count(*) from {table}")


def _value(db: Connection, query: str) -> int:
    row = db.execute(query.encode()).fetchone()
    assert row is not None
    return int(row[0])
