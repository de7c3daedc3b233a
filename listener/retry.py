"""How long to wait before the next try: tenacity's policies, one per neighbour.

The policies are asked for a number or given a sleep from outside; nothing here sleeps by itself.
"""

import threading
from collections.abc import Callable

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    retry_if_exception_type,
    stop_after_attempt,
    stop_when_event_set,
    wait_chain,
    wait_fixed,
)
from tenacity.nap import sleep_using_event
from tenacity.wait import wait_base, wait_exponential, wait_incrementing, wait_random

from listener.errors import Transient

WORKFLOW_BACKOFF = wait_incrementing(start=60, increment=60, max=300)
"""After an error of a workflow's step: 60, 120, 180, 240, 300, 300 … seconds."""

_RECONNECT_QUICKLY = wait_exponential(multiplier=0.1, max=0.5) + wait_random(0, 0.1)
_RECONNECT_TIRED = wait_fixed(10) + wait_random(0, 0.5)
RECONNECT = wait_chain(*[_RECONNECT_QUICKLY] * 1100, _RECONNECT_TIRED)
"""A database that went away: 0.1 to 0.5 s for ten minutes, so that orders flow within a second of its return; then
10 s, for ever. Jitter keeps a herd apart."""


def seconds_before(policy: wait_base, attempt: int) -> float:
    """Return what `policy` waits after failed try number `attempt`, counted from 1."""
    call = RetryCallState(Retrying(), None, (), {})
    call.attempt_number = attempt
    return float(policy(call))


def reconnecting(stopping: threading.Event, before_sleep: Callable[[RetryCallState], None]) -> Retrying:
    """Return the retry loop of a database connection: it ends when connected, or soon after `stopping` is set.

    tenacity asks its stop after a try, never before one: the tried function looks at `stopping` first.
    """
    return Retrying(
        wait=RECONNECT,
        retry=retry_if_exception_type(Transient),
        stop=stop_when_event_set(stopping),
        sleep=sleep_using_event(stopping),
        before_sleep=before_sleep,
        reraise=True,
    )


def colliding(collided: Callable[[BaseException], bool]) -> Retrying:
    """Return the retry loop of an install that others are in the way of: ten tries, apart by chance, so that of two
    installs one gets through."""
    return Retrying(
        wait=wait_random(0, 0.3), retry=retry_if_exception(collided), stop=stop_after_attempt(10), reraise=True
    )


def trying_again(fault: type[Transient], sleep: Callable[[float], None]) -> Retrying:
    """Return the retry loop of a question that is safe to repeat: one more try, a moment later."""
    return Retrying(
        wait=wait_random(0.2, 0.6),
        retry=retry_if_exception_type(fault),
        stop=stop_after_attempt(2),
        sleep=sleep,
        reraise=True,
    )
