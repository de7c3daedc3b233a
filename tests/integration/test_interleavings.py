"""Every order in which two writers and a settling listener can take their steps, on real sessions of a real server.

The model (tests/model) knows more faults and finer steps; here the steps are the program's own statements, and what
answers is Postgres itself: its locks, its snapshots, its triggers. A listener that settles wrongly loses an order in
some of the very same orders of steps, so these tests are known to be able to fail.

No step waits for another session, so one thread can take them one by one.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack

import psycopg
import pytest

from listener import bell, leader
from listener.database import Connection, connect_work

INSERT = "insert into orders_inbox (order_number, order_date, status) values ('NEW', current_date, 'awaiting_shipment')"
UPDATE = "update orders_inbox set status = 'awaiting_shipment' where order_number = 'HELD'"
HELD = INSERT.replace("NEW", "HELD").replace("awaiting_shipment", "on_hold")

# Each element is one step. A transaction ends with its last.
INSERTS = (f"begin; {INSERT}", "commit")
UPDATES = (f"begin; {UPDATE}", "commit")
GIVES_UP = (f"begin; {UPDATE}", "rollback")
HAS_AN_OLD_ID = ("begin; select pg_current_xact_id()", INSERT, "commit")
FORGOTTEN = ("begin; select pg_current_xact_id()",)
# No writer, but a session that a dead listener has left behind in the server, with the silence lock: it ends.
ENDS = (bell.RELEASE_SQL,)

Script = tuple[str, ...]


class Listener:
    """A leader with its work session and its LISTEN session. `steps` is its settle, the last step again and again."""

    def __init__(self, dsn: str, stack: ExitStack, *, patient: bool = False) -> None:
        self.ear = stack.enter_context(psycopg.connect(dsn, autocommit=True))
        self.ear.execute("listen orders_inbox")
        self.work = stack.enter_context(connect_work(dsn, "listener test"))
        assert leader.lead(self.work, "test", by_lease=False)
        self.patient = patient
        self.silent = self.awake = self.asleep = False
        self.x = 0

    @property
    def steps(self) -> list[Callable[[], None]]:
        return [self.release, self.mark, self.ask]

    def begin(self) -> None:
        """Be at work: hold the silence lock, unless somebody else does."""
        self.silent = self.silent or bell.hold_silence(self.work)()
        self.awake = self.asleep = False

    def release(self) -> None:
        if self.silent:
            bell.release_silence(self.work)
        self.silent = False

    def mark(self) -> None:
        x = bell.mark(self.work)
        self.awake, self.x = x is None, x or 0

    def ask(self) -> None:
        if self.awake or self.asleep:
            return
        answer = bell.ask(self.work, self.x, [], patient=self.patient)
        self.awake, self.asleep = answer.pending, answer.settled and not answer.pending

    def who_rang(self) -> set[int]:
        """Return the process ids of all who have rung; a ring of our own marks the end."""
        self.work.execute("notify orders_inbox, 'that was all'")
        rang = set()
        for heard in self.ear.notifies(timeout=10):
            if heard.payload:
                return rang
            rang.add(heard.pid)
        raise AssertionError("the last ring never came")


class NeverProbes(Listener):
    def mark(self) -> None:
        self.x = int(bell._one(self.work, bell.MARK_SQL))


class MarksWithXmax(Listener):
    def mark(self) -> None:
        self.x = int(bell._one(self.work, "select pg_snapshot_xmax(pg_current_snapshot())::text::bigint"))


class MarksBeforeItReleases(NeverProbes):
    @property
    def steps(self) -> list[Callable[[], None]]:
        return [self.mark, self.release, self.ask]


class AsksBeforeItReleases(NeverProbes):
    @property
    def steps(self) -> list[Callable[[], None]]:
        return [self.mark, self.ask, self.release, self.ask]


class LooksWithTwoSnapshots(Listener):
    """Whether an order is pending, and only then whether nobody silent is left."""

    seen = False

    @property
    def steps(self) -> list[Callable[[], None]]:
        return [self.release, self.mark, self.look, self.ask]

    def look(self) -> None:
        self.seen = bell.ask(self.work, self.x, [], patient=False).pending

    def ask(self) -> None:
        answer = bell.ask(self.work, self.x, [], patient=False)
        self.awake, self.asleep, self.seen = self.seen, answer.settled and not self.seen, answer.pending


class LooksAtTheLocksLast(LooksWithTwoSnapshots):
    """The same mistake of a patient one."""

    def ask(self) -> None:
        left = bell._one(self.work, bell.OLDER_WRITERS_SQL, {"x": self.x})
        self.awake, self.asleep = self.seen, not (left or self.seen)
        self.look()


class NeverSettles(Listener):
    @property
    def steps(self) -> list[Callable[[], None]]:
        return [self.release, self.sleep]

    def sleep(self) -> None:
        self.asleep = True


class Stage:
    """A listener and writers, who take their steps in whatever order they are told."""

    def __init__(self, dsn: str, stack: ExitStack, listener: Listener, *scripts: Script) -> None:
        self.listener, self.scripts = listener, scripts
        self.writers = [stack.enter_context(psycopg.connect(dsn, autocommit=True)) for _ in scripts]

    def losses(self) -> Iterator[tuple[int, ...]]:
        """Yield each order of steps that loses an order, or all at once: a number is the writer whose turn it is."""
        lengths = (*map(len, self.scripts), len(self.listener.steps))
        return (turns for turns in merges(lengths) if self.loses(turns))

    def loses(self, turns: Sequence[int]) -> bool:
        """Play one order of steps; return whether it leaves an order that waits for the heartbeat."""
        self.begin()
        steps = [iter(self.steps_of(writer, script)) for writer, script in zip(self.writers, self.scripts, strict=True)]
        steps.append(iter(self.listener.steps))
        for turn in turns:
            next(steps[turn])()
        self.come_to_rest()
        rang = self.listener.who_rang()
        return self.listener.asleep and not self.committed() <= rang

    def begin(self) -> None:
        for session, script in zip(self.writers, self.scripts, strict=True):
            if script is ENDS:
                assert bell.hold_silence(session)()
            if script is FORGOTTEN:
                session.rollback()
        self.listener.begin()
        with self.listener.work.pipeline():
            self.listener.work.execute("delete from orders_inbox")
            self.listener.work.execute(HELD)

    def steps_of(self, writer: Connection, script: Script) -> list[Callable[[], object]]:
        return [lambda step=step: writer.execute(step.encode()) for step in script]

    def come_to_rest(self) -> None:
        """Nobody writes any more: let the listener ask until it has an answer."""
        for _ in range(5):
            if not (self.listener.awake or self.listener.asleep):
                self.listener.steps[-1]()
        assert self.listener.awake or self.listener.asleep

    def committed(self) -> set[int]:
        """Return the process ids of those whose orders are there. None of them may lean on another's ring."""
        return {
            writer.info.backend_pid
            for writer, script in zip(self.writers, self.scripts, strict=True)
            if script[-1] == "commit"
        }


def merges(lengths: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Yield every way to put so many turns of each into one row."""
    if not any(lengths):
        yield ()
    for who, left in enumerate(lengths):
        if left:
            for rest in merges([*lengths[:who], left - 1, *lengths[who + 1 :]]):
                yield (who, *rest)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_all_orders_of_steps_are_tried() -> None:
    assert len(set(merges([2, 2, 3]))) == 210
    assert sorted(merges([1, 2])) == [(0, 1, 1), (1, 0, 1), (1, 1, 0)]


@pytest.mark.parametrize(
    "scripts", [(INSERTS, UPDATES), (GIVES_UP, INSERTS), (INSERTS, ENDS)], ids=["two", "one gives up", "a dead session"]
)
def test_whatever_the_order_of_steps_no_order_waits(dsn: str, stack: ExitStack, scripts: tuple[Script, ...]) -> None:
    assert list(Stage(dsn, stack, Listener(dsn, stack), *scripts).losses()) == []


def test_nor_does_one_while_a_forgotten_transaction_makes_the_listener_patient(dsn: str, stack: ExitStack) -> None:
    stage = Stage(dsn, stack, Listener(dsn, stack, patient=True), HAS_AN_OLD_ID, FORGOTTEN)
    assert list(stage.losses()) == []


WRONG = [
    (NeverSettles, (INSERTS,)),
    (NeverProbes, (INSERTS, ENDS)),
    (MarksWithXmax, (GIVES_UP, INSERTS)),
    (MarksBeforeItReleases, (INSERTS,)),
    (AsksBeforeItReleases, (INSERTS,)),
    (LooksWithTwoSnapshots, (INSERTS,)),
    (LooksAtTheLocksLast, (INSERTS,)),
]


@pytest.mark.parametrize(("listener", "scripts"), WRONG, ids=[listener.__name__ for listener, _ in WRONG])
def test_who_settles_otherwise_loses_one(
    dsn: str, stack: ExitStack, listener: type[Listener], scripts: tuple[Script, ...]
) -> None:
    assert list(Stage(dsn, stack, listener(dsn, stack), *scripts).losses())
