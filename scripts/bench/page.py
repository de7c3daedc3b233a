"""What the status page costs: how soon it answers while much is pending, and what the upload pays for its viewers.

    python scripts/bench/page.py [--rounds 8] [--viewers 3]

Answers: 100,000 orders in the inbox, 10,000 of them pending, a full day of figures; each question is put when no answer
of the database is kept any more. Upload: 10,000 orders a round, one round with viewers who ask as the page does (and
open an order every 3 s) and one without, in turn; the ratio is of the medians. On a busy machine that ratio is mostly
noise; the listener's own CPU time, an idle while with viewers and one without, is not.
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

from stage import Connection, cpu_seconds, listener, open_wide, set_flag, shop, simulator_apart, wait_until

from listener.embedded.postgres import free_port
from listener.minutes import Figures, Minute
from listener.store.minutes import keep_minutes

OLD, PENDING, A_ROUND = 90_000, 10_000, 10_000
KEPT_SECONDS = 2.1
IDLE_SECONDS = 20.0

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


def seconds_of_a_round(operator: Connection, name: str) -> float:
    started = time.monotonic()
    operator.execute(ORDERS, [name, A_ROUND])
    wait_until(operator, LEFT)
    return time.monotonic() - started


def cpu_share(pid: int) -> float:
    """Return how much of a core the listener needs over some seconds."""
    started, before = time.monotonic(), cpu_seconds(pid)
    time.sleep(IDLE_SECONDS)
    return (cpu_seconds(pid) - before) / (time.monotonic() - started)


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
    with shop({}) as (_, url, operator), simulator_apart() as (where, _):
        open_wide(operator)
        keep_minutes(operator, a_day())
        operator.execute("update workflow_controls set enabled = false where workflow_name = 'shipstation-upload'")
        for statement in FILL.split(";"):
            operator.execute(statement.encode())
        with listener(url, operator, where | {"STATUS_ADDRESS": address}) as pid:
            first = ask(address, "/page/past.json")
            times = answer_times(address, options.rounds)
            operator.execute("update orders_inbox set status = 'on_hold' where status = 'awaiting_shipment'")
            set_flag(operator, "fast_polling_interval", "3600")
            operator.execute("update workflow_controls set enabled = true where workflow_name = 'shipstation-upload'")
            seconds_of_a_round(operator, "warm-")
            idle = cpu_share(pid)
            with viewers(address, options.viewers):
                looked_at = cpu_share(pid)
            alone, watched = [], []
            for number in range(options.rounds):
                alone.append(seconds_of_a_round(operator, f"alone-{number}-"))
                with viewers(address, options.viewers):
                    watched.append(seconds_of_a_round(operator, f"watched-{number}-"))
    print(f"{PENDING:,} orders pending, {options.rounds} questions each, {os.cpu_count()} cores; milliseconds")
    for path, values in times.items():
        print(f"{path:18}  p50 {statistics.median(values):6.1f}   max {max(values):6.1f}")
    print(f"/page/past.json, the first time {first:6.1f}")
    cost = (looked_at - idle) / options.viewers
    print(f"a viewer costs the listener {cost:.2%} of a core ({idle:.2%} unwatched, {looked_at:.2%} watched)")
    before, after = A_ROUND / statistics.median(alone), A_ROUND / statistics.median(watched)
    print(f"orders a second: {before:.0f} unwatched, {after:.0f} with {options.viewers} viewers ({after / before:.1%})")


if __name__ == "__main__":
    main()
