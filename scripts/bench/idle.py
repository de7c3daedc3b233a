"""What an idle listener costs: statements, transactions, wake-ups, connections, CPU and memory.

    python scripts/bench/idle.py [--seconds 120]

Statements are counted in the server's own log (log_statement = all), at the default heartbeat of 15 s and the sync's
default cycle of 120 s. A wake-up is a voluntary switch of one of the process's threads.
"""

import argparse
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

from figures import Table, print_tables, spread
from stage import ASLEEP, Connection, cpu_seconds, running_listener, shop, wait_until

SESSIONS = "select count(*) from pg_stat_activity where application_name like 'listener %'"
SETTINGS = {"log_statement": "all", "log_line_prefix": "%a "}
NAME = re.compile(r"(listener \w+ (?:listen|work|step)) LOG:  (?:statement|execute [^:]*):\s*(\S+)")


def resident_mb(pid: int) -> float:
    match = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(match.group(1)) / 1024 if match else 0.0


def wake_ups(pid: int) -> int:
    statuses = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/status")]
    return sum(
        int(count) for text in statuses for count in re.findall(r"^voluntary_ctxt_switches:\s+(\d+)", text, re.M)
    )


def statements(log: str) -> Counter[str]:
    """Return how many statements of each kind the listener's sessions have sent."""
    return Counter(f"{name.split()[-1]}: {word.lower()}" for name, word in NAME.findall(log))


def count_each_second(operator: Connection) -> int:
    operator.execute("select pg_sleep(1)")
    (count,) = operator.execute(SESSIONS.encode()).fetchone() or (0,)
    return int(count)


def measure(seconds: int) -> dict[str, Any]:
    with shop(SETTINGS) as (postgres, url, operator), running_listener(url, operator) as (_, pid):
        wait_until(operator, ASLEEP)
        operator.execute("select pg_sleep(5)")  # past the first beat, which comes a second after the start
        before, cpu, woken = statements(postgres.log_text()), cpu_seconds(pid), wake_ups(pid)
        connections = [count_each_second(operator) for _ in range(seconds)]
        spent = statements(postgres.log_text()) - before
        return {
            "server": SETTINGS,
            "seconds": seconds,
            "statements": dict(spent),
            "connections": connections,
            "cpu_seconds": round(cpu_seconds(pid) - cpu, 3),
            "wake_ups": wake_ups(pid) - woken,
            "memory_mb": round(resident_mb(pid), 1),
        }


def an_hour(result: dict[str, Any], value: float) -> float:
    return value * 3600 / float(result["seconds"])


def tables(result: dict[str, Any]) -> list[Table]:
    said = ", ".join(f"{count} {name}" for name, count in sorted(result["statements"].items()))
    rows = [
        ["statements an hour", f"{an_hour(result, sum(result['statements'].values())):,.0f}"],
        ["wake-ups an hour", f"{an_hour(result, result['wake_ups']):,.0f}"],
        ["CPU seconds an hour", f"{an_hour(result, result['cpu_seconds']):.1f}"],
        ["connections", spread(result["connections"])],
        ["resident memory", f"{result['memory_mb']:.1f} MB"],
    ]
    return [Table(f"idle for {result['seconds']:,} s, heartbeat 15 s, sync 120 s ({said})", ["", "listener"], rows)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=120)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    result = measure(options.seconds)
    print(json.dumps(result)) if options.json else print_tables(tables(result))


if __name__ == "__main__":
    main()
