"""The examination: every check, each for a limited time, all of them within one. It never raises, and never hangs.

A check that cannot be made is a finding of its own: an error never looks like "all is well".
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

import psycopg

from listener.database import is_lost, sentence
from listener.doctor.checks import CHECKS, Check, Way
from listener.doctor.findings import Finding, error, info, warning
from listener.doctor.neighbours import Patient, reach
from listener.doctor.outside import judge_settings
from listener.doctor.server import judge_addresses
from listener.errors import Fatal
from listener.headway import Headway, Show, show_nobody
from listener.log import redactor
from listener.settings import Settings, look_at_settings
from listener.store.server import only_looking

T = TypeVar("T")

TOTAL_SECONDS = 45.0
CONNECT_SECONDS = 12.0
"""Two addresses, each with 5 s to answer."""


def examine(
    env: Mapping[str, str],
    *,
    offline: bool = False,
    checks: Sequence[Check[Any]] = CHECKS,
    show: Show = show_nobody,
) -> list[Finding]:
    """Return what is found, in the order of the checks. offline: ShipStation and Google are left alone."""
    settings, missing, faults = look_at_settings(env)
    findings = _of("settings", judge_settings(missing, faults, settings.shipstation_base_url))
    findings += _examine(settings, checks, offline=offline, show=show)
    redact = redactor(settings.secrets())
    return [replace(found, sentence=redact(found.sentence), todo=redact(found.todo)) for found in findings]


def within(seconds: float, work: Callable[[], T], too_late: Callable[[], None]) -> T:
    """Return what `work` returns, or raise what it raises. Raises TimeoutError when it takes longer.

    It is left to itself then, in a thread that does not keep the process alive; `too_late` is called at its end.
    """
    ended: SimpleQueue[tuple[list[T], Exception | None]] = SimpleQueue()
    given_up = threading.Event()

    def run() -> None:
        try:
            ended.put(([work()], None))
        except Exception as fault:  # whoever waits for it raises it
            ended.put(([], fault))
        if given_up.is_set():
            too_late()

    threading.Thread(target=run, name="listener-doctor", daemon=True).start()
    try:
        result, fault = ended.get(timeout=max(seconds, 0.0))
    except Empty:
        given_up.set()
        raise TimeoutError from None
    if fault is not None:
        raise fault
    return result[0]


def _examine(settings: Settings, checks: Sequence[Check[Any]], *, offline: bool, show: Show) -> list[Finding]:
    until = time.monotonic() + TOTAL_SECONDS
    show(Headway("asking for the database", 0, len(checks)))
    patient, findings = _reach(settings, offline=offline)
    left_out = 0
    for done, check in enumerate(checks):
        show(Headway(f"looking at {check.name}", done, len(checks)))
        seconds = min(check.seconds, until - time.monotonic())
        if seconds <= 0 or (check.way is not Way.NOT and patient.connection is None):
            left_out += 1
        else:
            findings += _of(check.name, _made(check, patient, seconds))
    patient.close()
    if left_out:
        findings += _of("doctor", [info(f"{left_out} checks were not made: the database, or the time, was missing")])
    return findings


def _reach(settings: Settings, *, offline: bool) -> tuple[Patient, list[Finding]]:
    if not (settings.database_url or settings.listen_database_url):
        return Patient(settings, offline), []
    patient = Patient(settings, offline)
    try:
        within(CONNECT_SECONDS, lambda: reach(patient), patient.close)
    except TimeoutError:
        fault = f"the database gave no answer in {CONNECT_SECONDS:.0f} s"
        return Patient(settings, offline), _of(
            "database", [error(fault, todo="check host and port, and the way there")]
        )
    return patient, _of("database", judge_addresses(patient.addresses))


def _made(check: Check[Any], patient: Patient, seconds: float) -> Iterator[Finding]:
    """Make a check; whatever keeps it from being made is what it finds."""
    try:
        yield from list(check.judge(within(seconds, lambda: _gather(check, patient), replace(patient).close)))
    except TimeoutError:
        yield warning(f"no answer in {seconds:.0f} s")
        if check.way is not Way.NOT:
            patient.connection = None  # it is in the hands of a thread that hangs, and closes it
    except (psycopg.Error, Fatal) as fault:
        yield _not_made(patient, fault.__cause__ if isinstance(fault, Fatal) and fault.__cause__ else fault)
    except Exception as bug:
        yield warning(f"a fault of doctor's own: {type(bug).__name__}: {sentence(bug)}", todo="report it")


def _gather(check: Check[T], patient: Patient) -> T:
    if check.way is not Way.LOOKING:
        return check.gather(patient)
    with only_looking(patient.database):
        return check.gather(patient)


def _not_made(patient: Patient, fault: BaseException) -> Finding:
    missing = (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName, psycopg.errors.UndefinedColumn)
    if isinstance(fault, missing):
        return info(f"not looked at, for want of what `listener install` makes: {sentence(fault)}")
    if patient.connection is not None and is_lost(patient.connection, fault):
        patient.connection = None
        return error(f"the session was lost while this was looked at: {sentence(fault)}")
    return warning(f"not looked at: {sentence(fault)}")


def _of(check: str, findings: Sequence[Finding] | Iterator[Finding]) -> list[Finding]:
    return [replace(found, check=check) for found in findings]
