"""What has to hold when all is quiet again, and how long it took until then.

The table `orders_inbox` is the truth: an order that stands there, whether its writer has learned of its COMMIT or not,
has to be at ShipStation once, under the id of its row; one that does not stand there must not be there.
"""

import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from listener.events import IMPORT, UPLOAD
from tests.chaos.operator import linger
from tests.chaos.world import World

DRAINED_WITHIN_SECONDS = 90.0
ASLEEP_WITHIN_SECONDS = 20.0
PATIENCE_SECONDS = 4.0
"""So long nobody helps: what the listener does by itself is to be seen. A backoff is ended at once."""

LAST_ROW = "select coalesce(max(id), 0) from orders_inbox"
ROWS = "select order_number, status, shipstation_order_id from orders_inbox where id > %s"
NOT_SHOWN = "select count(*) from orders_inbox where id > %s and status <> 'uploaded'"
OF_THE_FILE = "select count(*) from orders_inbox where order_number like '600%'"
UNSETTLED = "select order_key, state, error from listener.ledger where state in ('sending', 'unknown', 'waiting')"
SESSIONS = "select count(*) from pg_stat_activity where application_name like 'listener %' and datname = 'shop'"
FOUND_BY_A_BEAT = "action=process source=heartbeat"
A_BELL_MAY_BE_LATE_SECONDS = 1.3
MISSED = "A pending order was found that no notification announced"


@dataclass(frozen=True)
class Resources:
    """What a process holds; zeros where that cannot be seen."""

    kilobytes: int
    descriptors: int

    @classmethod
    def of(cls, pid: int) -> "Resources":
        folder = Path(f"/proc/{pid}")
        if not folder.is_dir():
            return cls(0, 0)
        status = (folder / "status").read_text()
        kilobytes = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))
        return cls(kilobytes, sum(1 for _ in (folder / "fd").iterdir()))


@dataclass
class Outcome:
    """What has become of the orders of a round."""

    orders: int = 0
    lost: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


class Watch:
    """Sees a round through to its end."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._first: dict[int, Resources] = {}
        self._errors_said = 0
        self._eased_at = float("-inf")
        self.growth = Resources(0, 0)
        self.begin()

    def begin(self) -> None:
        """Take down where a round begins."""
        self._last_row = self._world.sql(LAST_ROW)[0][0]
        self._there_before = self._world.account.order_count
        self._missed_before = self._world.said(MISSED)
        self._found_before = self._world.said(FOUND_BY_A_BEAT)

    def wait_for(self, probe: str) -> tuple[float | None, int]:
        """Return how long an order takes to get to ShipStation from now on, and how often backoffs were ended."""
        began, eased = time.monotonic(), 0
        account = self._world.account
        while not account.wait_until(lambda: account.order_by_number(probe), 0.1):
            passed = time.monotonic() - began
            if passed > DRAINED_WITHIN_SECONDS:
                return None, eased
            if self._is_backing_off(UPLOAD) or (passed > PATIENCE_SECONDS and self._ledger_waits()):
                eased += self._ease(clock=passed > PATIENCE_SECONDS)
        return time.monotonic() - began, eased

    def drain(self) -> tuple[bool, int]:
        """Wait until every row of the round shows its upload, helping; return whether it came to that, and how often
        a minute was made to pass."""
        end, eased = time.monotonic() + DRAINED_WITHIN_SECONDS, 0
        while not self._is_drained():
            if time.monotonic() > end:
                return False, eased
            linger(0.1)
            if self._is_backing_off(UPLOAD, IMPORT) or self._ledger_waits():
                eased += self._ease(clock=self._no_request_is_on_its_way())
        return True, eased

    def wait_until_asleep(self) -> str:
        """Wait until one listener leads and sleeps; return what is wrong with that."""
        end, status = time.monotonic() + ASLEEP_WITHIN_SECONDS, None
        while time.monotonic() < end:
            found = self._world.leader()
            status = found[1] if found else None
            if status and status["workflows"][UPLOAD]["state"] == "asleep" and not status["deaf"]:
                return ""
            if self._is_backing_off(UPLOAD):
                self._ease(clock=False)
            linger(0.05)
        return f"no listener leads and sleeps: {status and (status['workflows'][UPLOAD], status['degraded'])}"

    def _ease(self, *, clock: bool) -> int:
        """Help, unless that was done a moment ago: a look-up takes its time, and grows with the time that it covers."""
        if time.monotonic() - self._eased_at < 2:
            return 0
        self._eased_at = time.monotonic()
        self._world.ease(clock=clock)
        return 1

    def judge(self, *, may_miss: bool) -> Outcome:
        """Compare the table with ShipStation, and look for what must not be left."""
        rows = self._world.sql(ROWS, self._last_row)
        outcome = Outcome(len(rows))
        for number, status, order_id in rows:
            there = [str(order["orderId"]) for order in self._world.account.order_by_number(number)]
            if not there:
                outcome.lost.append(number)
            elif len(there) > 1:
                outcome.twice.append(number)
            elif (status, order_id) != ("uploaded", there[0]):
                outcome.wrong.append(f"{number} is {status} with the id {order_id}, at ShipStation {there[0]}")
        made = self._world.account.order_count - self._there_before
        if made != len(rows) - len(outcome.lost) + len(outcome.twice):
            outcome.wrong.append(f"{len(rows)} orders were committed, and {made} were made at ShipStation")
        outcome.wrong += self._left_over(may_miss=may_miss)
        return outcome

    def judge_all(self) -> Outcome:
        """Compare everything that was committed in the whole run with everything that is at ShipStation."""
        rows = {number: order_id for number, _, order_id in self._world.sql(ROWS, 0)}
        there = Counter(order["orderNumber"] for order in self._world.account.orders)
        ids = {order["orderNumber"]: str(order["orderId"]) for order in self._world.account.orders}
        vanished = self._world.traffic.acknowledged - rows.keys()
        return Outcome(
            orders=len(rows),
            lost=sorted(rows.keys() - there.keys()),
            twice=sorted(number for number, times in there.items() if times > 1),
            wrong=[
                *(f"{number} was never committed" for number in sorted(there.keys() - rows.keys())),
                *(f"{number} was acknowledged, and is gone" for number in sorted(vanished)),
                *(f"{number} has the id {rows[number]}" for number in rows if ids.get(number) != rows[number]),
            ],
        )

    def _left_over(self, *, may_miss: bool) -> list[str]:
        world = self._world
        if world.said(FOUND_BY_A_BEAT) > self._found_before:
            linger(A_BELL_MAY_BE_LATE_SECONDS)  # so long the listener waits for one before it calls it missed
        wrong = [f"{key} is left {state}: {error}" for key, state, error in world.sql(UNSETTLED)]
        missed, errors = world.said(MISSED) - self._missed_before, world.said(" ERROR ")
        if missed and not may_miss:
            wrong.append(f"{missed} notifications were missed, and the fault does not explain it")
        if errors > self._errors_said:
            wrong.append(f"{errors - self._errors_said} new lines of level ERROR")
        self._errors_said = errors
        # LISTEN and work, and for 30 s those of import and sync. After a takeover there are two listeners.
        if (sessions := world.sql(SESSIONS)[0][0]) > 4 * len(world.listeners):
            wrong.append(f"the listener has {sessions} sessions")
        return wrong + self._resources()

    def _resources(self) -> list[str]:
        """Compare what the process holds with what it held after its first round."""
        pid = self._world.listener.pid
        now = Resources.of(pid)
        first = self._first.setdefault(pid, now)
        more = Resources(now.kilobytes - first.kilobytes, now.descriptors - first.descriptors)
        self.growth = Resources(
            max(self.growth.kilobytes, more.kilobytes), max(self.growth.descriptors, more.descriptors)
        )
        # Two of the sync's and the import's connections, two to the neighbours, which are closed when they are idle.
        if more.descriptors > 6 or more.kilobytes > 25_000:
            return [f"since its first round the process has {more.descriptors} descriptors, {more.kilobytes} kB more"]
        return []

    def _is_drained(self) -> bool:
        imported = self._world.sql(OF_THE_FILE)[0][0] == self._world.file_orders
        return imported and self._world.sql(NOT_SHOWN, self._last_row) == [(0,)] and not self._ledger_waits()

    def _ledger_waits(self) -> bool:
        return bool(self._world.sql(UNSETTLED))

    def _is_backing_off(self, *workflows: str) -> bool:
        found: tuple[Any, dict[str, Any]] | None = self._world.leader()
        return found is not None and any(found[1]["workflows"][name]["backoff_until"] for name in workflows)

    def _no_request_is_on_its_way(self) -> bool:
        return all(one.status is not None or one.dropped for one in self._world.account.requests[-200:])
