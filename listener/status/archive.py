"""What the pages ask of the database, when somebody looks: never otherwise, and never much.

One question at a time, on a connection that is closed when nobody has asked for some seconds: an idle listener keeps
its two, and while a page is open the server need not begin a process for each question, which costs more than the
answer. That serves everybody who asks within its time, also when it is that there is none, so that no number of viewers
can load the database, or knock at one that is down. It only reads, and takes no lock that the upload would wait for.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import psycopg

from listener.database import Connection, connect_step, sentence
from listener.errors import Transient
from listener.store.config import limit_view
from listener.threads import Worker

logger = logging.getLogger(__name__)

T = TypeVar("T")

ANSWER_SECONDS = 4.0
"""A viewer waits so long; the answer that comes later serves whoever asks again."""

CLOSED_AFTER_SECONDS = 5.0
"""Longer than an open page waits between two questions."""

MOST_WAITING = 8
STOP_SECONDS = 0.1
KEPT = 64
"""Answers; an order's page is a few kilobytes."""


class Unavailable(Exception):
    """The database gave no answer; the message says why, in words for the page."""


@dataclass(slots=True)
class Answer:
    """An answer, or the question that is still on its way. `until`: monotonic seconds; inf while it is."""

    future: "asyncio.Future[Any]"
    until: float = float("inf")


class Archive:
    """Asks the database at `url`. All methods but `stop` belong to the server's event loop."""

    def __init__(self, url: str, name: str) -> None:
        self._url = url
        self._name = name
        self._answers: dict[str, Answer] = {}
        self._connection: Connection | None = None  # the worker's
        self._worker: Worker | None = None

    async def ask(self, key: str, question: Callable[[Connection], T], *, good_for: float) -> T:
        """Return what `question` returned, at most `good_for` seconds ago. Raises Unavailable.

        key: what was asked; the same question is not put twice at the same time
        """
        answer = self._answers.get(key)
        if answer is None or answer.until < time.monotonic():
            answer = self._put(key, question, good_for)
        try:
            result: T = await asyncio.wait_for(asyncio.shield(answer.future), ANSWER_SECONDS)
        except TimeoutError:
            raise Unavailable(f"the database has not answered for {ANSWER_SECONDS:.0f} s") from None
        return result

    def stop(self) -> None:
        """Put no more questions. One that is under way ends with the process."""
        if self._worker:
            self._worker.submit(self._close)
            self._worker.stop(timeout=STOP_SECONDS)

    def _put(self, key: str, question: Callable[[Connection], T], good_for: float) -> Answer:
        self._forget()
        if sum(answer.until == float("inf") for answer in self._answers.values()) >= MOST_WAITING:
            raise Unavailable("too many questions wait for the database: ask again in a moment")
        loop = asyncio.get_running_loop()
        self._answers[key] = answer = Answer(loop.create_future())
        answer.future.add_done_callback(_retrieve)

        def arrive(result: T | None, fault: Unavailable | None) -> None:
            answer.until = time.monotonic() + good_for
            if fault:
                answer.future.set_exception(fault)
            else:
                answer.future.set_result(result)

        def work() -> None:
            result, fault = self._answer(question)
            with suppress(RuntimeError):  # the server was stopped meanwhile, and its loop closed
                loop.call_soon_threadsafe(arrive, result, fault)

        self._worker = self._worker or Worker("status-database", self._close, CLOSED_AFTER_SECONDS)
        self._worker.submit(work)
        return answer

    def _forget(self) -> None:
        now = time.monotonic()
        self._answers = {key: answer for key, answer in self._answers.items() if answer.until >= now}
        while len(self._answers) >= KEPT:
            del self._answers[next(iter(self._answers))]

    def _answer(self, question: Callable[[Connection], T]) -> tuple[T | None, Unavailable | None]:
        kept = self._connection
        try:
            try:
                return self._read(question), None
            except psycopg.OperationalError:
                if kept is None or not kept.closed:
                    raise
                return self._read(question), None  # the server, or a pooler, has closed it since the last question
        except Transient as error:
            return None, Unavailable(f"the database does not answer: {error}")
        except psycopg.Error as error:
            return None, Unavailable(_reason(error))
        except Exception as error:
            logger.exception("A question of the status page failed: %s", error, extra={"event": "bug"})
            return None, Unavailable("a fault of the listener; its log has the traceback")

    def _read(self, question: Callable[[Connection], T]) -> T:
        connection = self._open()
        try:
            with connection.transaction():
                limit_view(connection)
                return question(connection)
        finally:
            if connection.closed:
                self._connection = None

    def _open(self) -> Connection:
        if self._connection is None:
            self._connection = connection = connect_step(self._url, self._name)
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.read_only = True
        return self._connection

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _reason(error: psycopg.Error) -> str:
    if isinstance(error, psycopg.errors.UndefinedTable | psycopg.errors.UndefinedColumn):
        return f"{sentence(error)}: run `listener install`"
    if isinstance(error, psycopg.errors.QueryCanceled | psycopg.errors.LockNotAvailable):
        return "the database took too long to answer"
    return f"the database refused: {sentence(error)}"


def _retrieve(future: "asyncio.Future[Any]") -> None:
    """Take note of a fault that nobody waits for any more: asyncio would log it."""
    if not future.cancelled():
        future.exception()
