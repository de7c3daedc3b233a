"""One question to ShipStation: one call, whose answer stands in the journal, and whose headers are believed."""

from collections.abc import Callable
from typing import TypeVar

from listener.budget import Budget
from listener.database import Connection
from listener.errors import Transient
from listener.shipstation.client import Answer, TooManyRequests

T = TypeVar("T")


def ask(
    connection: Connection,
    budget: Budget,
    call_id: int,
    question: Callable[[], Answer],
    read: Callable[[Answer], T],
) -> T:
    """Make the call that `call_id` was taken for, and return what `read` makes of its answer.

    Raises NoBudget when ShipStation says that there were too many requests, Transient when there is no answer.
    """
    answer: Answer | None = None
    fault: Transient | None = None
    try:
        answer = question()
        budget.answered(answer)
        return read(answer)
    except TooManyRequests as error:
        answer, fault = error.answer, error
        raise budget.throttled(error.answer.headers) from error
    except Transient as error:
        fault = error
        raise
    finally:
        budget.note(connection, call_id, answer, 0, fault)
