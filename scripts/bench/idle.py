"""What an idle listener costs: statements, transactions, connections, CPU and memory.

    python scripts/bench/idle.py [--seconds 120]

Statements are counted in the server's own log (log_statement = all), at the default heartbeat of 15 s.
"""

import argparse
import os
import re
from collections import Counter
from pathlib import Path

from stage import ASLEEP, running_listener, shop, wait_until

SESSIONS = "select count(*) from pg_stat_activity where application_name like 'listener %'"
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_mb(pid: int) -> float:
    match = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(match.group(1)) / 1024 if match else 0.0


def statements(log: str) -> Counter[str]:
    """Return how many statements of each kind the listener's sessions have sent."""
    found = re.findall(r"(listener \w+ (?:listen|work|step)) LOG:  (?:statement|execute [^:]*):\s*(\S+)", log)
    return Counter(f"{name.split()[-1]}: {word.lower()}" for name, word in found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=120)
    seconds = parser.parse_args().seconds
    settings = {"log_statement": "all", "log_line_prefix": "%a "}
    with shop(settings) as (postgres, url, operator), running_listener(url, operator) as (_, pid):
        wait_until(operator, ASLEEP)
        operator.execute("select pg_sleep(5)")  # past the first beat, which comes a second after the start
        before, cpu_before = statements(postgres.log_text()), cpu_seconds(pid)
        operator.execute("set statement_timeout = 0")
        operator.execute(f"select pg_sleep({seconds})".encode())
        spent = statements(postgres.log_text()) - before
        sessions = operator.execute(SESSIONS.encode()).fetchone()
        cpu = cpu_seconds(pid) - cpu_before
        memory = resident_mb(pid)
    print(f"idle for {seconds} s, heartbeat 15 s")
    print(f"statements an hour {spent.total() * 3600 / seconds:8.0f}   {dict(spent)}")
    print(f"connections        {sessions[0] if sessions else 0:8d}")
    print(f"CPU seconds an hour{cpu * 3600 / seconds:8.1f}")
    print(f"resident memory    {memory:8.1f} MB")


if __name__ == "__main__":
    main()
