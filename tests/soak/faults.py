"""What breaks, one thing a minute, in turn. Each fault has ended when its function returns, within half a minute."""

import os
import signal
import threading
from collections.abc import Callable

from listener.install import install, rollback
from tests.soak.world import World
from tests.support.shop import set_flag

Fault = Callable[[World], None]

END_SESSIONS = "select pg_terminate_backend(pid) from pg_stat_activity where application_name like %s"
LASTS_SECONDS = 10.0


def ends_sessions(role: str) -> Fault:
    return lambda world: world.do(lambda db: db.execute(END_SESSIONS, [f"listener %{role}"]))


def answers(kind: str, **options: object) -> Fault:
    """ShipStation answers so for a while."""

    def answer(world: World) -> None:
        world.account.inject(kind, path="*", **options)
        pause(LASTS_SECONDS)
        world.account.clear_faults()

    return answer


def once(kind: str, **options: object) -> Fault:
    """ShipStation answers so once, to the next request that makes orders."""
    return lambda world: void(world.account.inject(kind, path="/orders/createorders", times=1, **options))


def freezes(world: World) -> None:
    os.kill(world.listener.pid, signal.SIGSTOP)
    pause(LASTS_SECONDS)
    os.kill(world.listener.pid, signal.SIGCONT)


def crashes(world: World) -> None:
    world.postgres.crash()
    pause(2)
    world.postgres.start()


def changes_flags(world: World) -> None:
    for value in ("20", "nonsense", "15"):
        world.do(lambda db, value=value: set_flag(db, "fast_polling_interval", value))  # type: ignore[misc]


def takes_the_bell_away(world: World) -> None:
    rollback(world.url, "notify")
    pause(LASTS_SECONDS)
    install(world.url)


def exports_rubbish(world: World) -> None:
    broken = world.folder / "orders" / "broken.xml"
    broken.write_bytes(b"<orders><order><orderid>1</orderid></order><order><ord")
    pause(LASTS_SECONDS)
    broken.unlink()


def pause(seconds: float) -> None:
    """Let it be so for a while: this is the fault, not a wait for anything."""
    threading.Event().wait(seconds)


def void(_: object) -> None:
    """Nothing is made of the result."""


FAULTS: dict[str, Fault] = {
    "the work session is ended": ends_sessions("work"),
    "ShipStation answers 500": answers("500"),
    "the LISTEN session is ended": ends_sessions("listen"),
    "an answer is lost": once("drop-after-commit"),
    "the database restarts": lambda world: world.postgres.restart(),
    "ShipStation throttles": answers("429", reset=5),
    "all sessions are ended": ends_sessions(""),
    "the process stands still": freezes,
    "ShipStation is slow": answers("delay", seconds=8.0),
    "a request is lost": once("drop-before-commit"),
    "the database crashes": crashes,
    "flags change": changes_flags,
    "ShipStation is down for maintenance": answers("503"),
    "the bell is taken away and put back": takes_the_bell_away,
    "a broken file lies there": exports_rubbish,
}
