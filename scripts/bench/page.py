"""What the status page costs: how soon it answers while much is pending, and what the upload pays for its viewers.

    python scripts/bench/page.py [--rounds 8] [--viewers 3]

Answers: 100,000 orders in the inbox, 10,000 of them pending, a full day of figures; each question is put when no answer
of the database is kept any more. Costs: viewers ask as the page does, and open an order every 3 s. The CPU time of the
page's two threads, of the whole listener and of the database's server is taken while nothing else happens, with no
viewer, one and several. Upload: 10,000 orders a round, one round with viewers and one without, in turn; the ratio is of
the medians, and beside it stands the CPU time of the page's threads in the rounds with viewers. On a busy machine the
ratio is mostly noise, since writers, server and viewers share its cores; CPU time is less so.
"""

import argparse
import http.client
import os
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from stage import Connection, cpu_seconds, listener, open_wide, set_flag, shop, simulator_apart, wait_until

from listener.embedded.postgres import free_port
from listener.minutes import Figures, Minute
from listener.store.minutes import keep_minutes

OLD, PENDING, A_ROUND = 90_000, 10_000, 10_000
KEPT_SECONDS = 2.9
IDLE_SECONDS = 20.0
CALLS_TO_BE_SEEN = 200

FILL = f"""
insert into orders_inbox (order_number, order_date, status, shipstation_order_id)
select 'OLD-' || n, current_date, 'uploaded', n::text from generate_series(1, {OLD}) n;
insert into listener.ledger (order_key, order_inbox_id, order_number, state, shipstation_key, row_written, settled_at)
select upper(order_number), id, order_number, case when id % 50 = 0 then 'rejected' else 'accepted' end, order_number,
       true, now() from orders_inbox;
insert into orders_inbox (order_number, order_date, status)
select 'NEW-' || n, current_date, 'awaiting_shipment' from generate_series(1, {PENDING}) n;
analyze
"""
ORDERS = """
with o as (
    insert into orders_inbox (order_number, order_date, status, ship_name, ship_street1, ship_city, ship_country)
    select %s || n, current_date, 'awaiting_shipment', 'Ada Example', '1 Way', 'Town', 'CA'
    from generate_series(1, %s::integer) n returning id)
insert into order_items_inbox (order_inbox_id, sku, quantity) select id, '17001', 1 from o
"""
LEFT = "select 1 where not exists (select from orders_inbox where status = 'awaiting_shipment')"


def ask(address: str, path: str) -> float:
    """Return how many milliseconds an answer took."""
    started = time.monotonic()
    with closing(http.client.HTTPConnection(address, timeout=10)) as page:
        page.request("GET", path)
        answer = page.getresponse()
        answer.read()
        if answer.status != 200:
            raise SystemExit(f"{path} answered {answer.status}")
    return (time.monotonic() - started) * 1000


def answer_times(address: str, rounds: int) -> dict[str, list[float]]:
    paths = ("/", "/page/now.json", "/page/past.json", "/orders/NEW-77", "/status.json")
    times: dict[str, list[float]] = {path: [] for path in paths}
    for _ in range(rounds):
        time.sleep(KEPT_SECONDS)
        for path in paths:
            times[path].append(ask(address, path))
    return times


@contextmanager
def viewers(address: str, count: int) -> Iterator[None]:
    """Look at the page as `count` browsers do."""
    ended = threading.Event()

    def look(every: float, path: str) -> None:
        ask(address, path)
        while not ended.wait(every):
            ask(address, path)

    habits = [(2, "/page/now.json"), (3, "/page/past.json"), (3, "/orders/OLD-1")] * count
    threads = [threading.Thread(target=look, args=habit) for habit in habits]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()


class Cpu(NamedTuple):
    """CPU seconds: of the page's threads, of the listener with them, and of the database's server."""

    page: float
    listener: float
    server: float

    def since(self, before: "Cpu", seconds: float) -> "Cpu":
        """Return the share of a core that was used."""
        return Cpu(*((now - then) / seconds for now, then in zip(self, before, strict=True)))


class Meter:
    """Reads what was used so far."""

    def __init__(self, address: str, listener: int, server: int) -> None:
        self._listener, self._server = listener, server
        self._threads = self._of_the_page(address)

    def read(self) -> Cpu:
        used = thread_seconds(self._listener)
        page = sum(used.get(thread, 0.0) for thread in self._threads)
        return Cpu(page, cpu_seconds(self._listener), family_seconds(self._server))

    def over(self, seconds: float) -> Cpu:
        """Return the share of a core that is used in so many seconds from now on."""
        started, before = time.monotonic(), self.read()
        time.sleep(seconds)
        return self.read().since(before, time.monotonic() - started)

    def _of_the_page(self, address: str) -> set[str]:
        """Find the threads, which have no names outside: one answers, one begins with the first question."""
        before = thread_seconds(self._listener)
        ask(address, "/page/past.json")
        asking = thread_seconds(self._listener).keys() - before.keys()
        before = thread_seconds(self._listener)
        for _ in range(CALLS_TO_BE_SEEN):
            ask(address, "/health/live")
        used = thread_seconds(self._listener)
        answering = max(before.keys() & used.keys(), key=lambda thread: used[thread] - before[thread])
        return (asking & used.keys()) | {answering}


def thread_seconds(pid: int) -> dict[str, float]:
    """Return the CPU seconds of each thread of a process."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return {task.name: int((task / "schedstat").read_text().split()[0]) / 1e9 for task in threads}


def family_seconds(pid: int) -> float:
    """Return the CPU seconds of a process and its children, those that have ended with them."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:  # it has just ended
            continue
        if stat.parent.name == str(pid):
            ticks += sum(map(int, fields[11:15]))
        elif fields[1] == str(pid):
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def a_round(operator: Connection, meter: Meter, name: str) -> tuple[float, Cpu]:
    """Have a round of orders uploaded; return the seconds it took, and the share of a core that was used."""
    started, before = time.monotonic(), meter.read()
    operator.execute(ORDERS, [name, A_ROUND])
    wait_until(operator, LEFT)
    seconds = time.monotonic() - started
    return seconds, meter.read().since(before, seconds)


def a_day() -> list[Minute]:
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    figures = Figures(checks={"upload heartbeat skip": 4}, latencies={"5": 3, "20": 1}, latency_ms_max=18)
    return [Minute(now - timedelta(minutes=ago), "bench", figures) for ago in range(1, 1440)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--viewers", type=int, default=3)
    options = parser.parse_args()
    address = f"127.0.0.1:{free_port()}"
    with shop({}) as (server, url, operator), simulator_apart() as (where, _):
        open_wide(operator)
        keep_minutes(operator, a_day())
        operator.execute("update workflow_controls set enabled = false where workflow_name = 'shipstation-upload'")
        for statement in FILL.split(";"):
            operator.execute(statement.encode())
        with listener(url, operator, where | {"STATUS_ADDRESS": address}) as pid:
            meter = Meter(address, pid, server.pid or 0)
            times = answer_times(address, options.rounds)
            operator.execute("update orders_inbox set status = 'on_hold' where status = 'awaiting_shipment'")
            set_flag(operator, "fast_polling_interval", "3600")
            operator.execute("update workflow_controls set enabled = true where workflow_name = 'shipstation-upload'")
            a_round(operator, meter, "warm-")
            operator.execute("vacuum analyze")  # or the server would do it in the midst of what is measured
            at_rest = {}
            for count in (0, 1, options.viewers):
                with viewers(address, count):
                    at_rest[count] = meter.over(IDLE_SECONDS)
            alone, watched = [], []
            for number in range(options.rounds):
                alone.append(a_round(operator, meter, f"alone-{number}-"))
                with viewers(address, options.viewers):
                    watched.append(a_round(operator, meter, f"watched-{number}-"))
    print(f"{PENDING:,} orders pending, {options.rounds} questions each, {os.cpu_count()} cores; milliseconds")
    for path, values in times.items():
        print(f"{path:18}  p50 {statistics.median(values):6.1f}   max {max(values):6.1f}")
    for count, cpu in at_rest.items():
        figures = f"the page's threads {cpu.page:.2%}, the listener {cpu.listener:.2%}, the server {cpu.server:.2%}"
        print(f"at rest, {count} viewers: {figures} of a core")
    page = statistics.median(cpu.page for _, cpu in watched)
    print(f"while it uploads, {options.viewers} viewers: the page's threads {page:.2%} of a core")
    before, after = (A_ROUND / statistics.median(seconds for seconds, _ in rounds) for rounds in (alone, watched))
    print(f"orders a second: {before:.0f} unwatched, {after:.0f} with {options.viewers} viewers ({after / before:.1%})")


if __name__ == "__main__":
    main()
