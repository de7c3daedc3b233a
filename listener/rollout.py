"""The plan's Phase 5: is a stage of the rollout met? Pure: evidence in, a line for each criterion out.

A stage is met when every criterion is. Too little to judge by is a verdict of its own, and not a good one: a quiet
database must not pass for a proven listener.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from listener.events import IMPORT, SYNC, UPLOAD, Source
from listener.flags import Flags, as_texts
from listener.health import FEW
from listener.minutes import MINUTE, POLLING_STATE, Figures, Minute, gaps, longest_gap, most_calls_an_hour, total

STAGE_HOURS = {1: 48, 2: 72}
"""The plan watches the first stage for 48 to 72 hours, the second for 72."""

STAGE_FLAGS = {
    1: {"fast_polling_enabled": "true", "fast_polling_interval": "15"},
    2: {"fast_polling_enabled": "true", "fast_polling_interval": "15", "sync_interval": "120"},
}
STAGE_WORKFLOWS = {
    1: {UPLOAD: True, IMPORT: False, SYNC: False},
    2: {UPLOAD: True, IMPORT: True, SYNC: True},
}
LATENCY_SECONDS = {1: 30.0, 2: 120.0}
SKIP_RATE = 0.8
CHECK_MS = {"upload": 10.0, "xml-import": 50.0}
GAP_SECONDS = 60.0
"""A look every 15 s, and what a request that hangs for 30 s may put off; the plan gives a change 60 s."""

SYNC_GAP_SECONDS = 240.0
"""Two cycles."""

CONNECTIONS = 10
CALLS_AN_HOUR = 200
ERROR_RATE = 0.01
COVERAGE = 0.995
"""A restart costs no minute, a crash one, a failover a few."""


class Verdict(StrEnum):
    """What is said of a criterion."""

    OK = "ok"
    NOT_MET = "not met"
    NO_DATA = "no data"


@dataclass(frozen=True, slots=True)
class Criterion:
    """One line of the answer; `note` says more where there is more to say."""

    name: str
    target: str
    measured: str
    verdict: Verdict
    note: str = ""


class Window(NamedTuple):
    """The minutes to be looked at: from `since` to before `until`; `first` is the oldest there is."""

    since: datetime
    until: datetime
    first: datetime | None


class LastChange(NamedTuple):
    """The last flag change that was taken, and how long it took from when it was seen to when it was in force."""

    parameter_name: str
    old: str | None
    new: str | None
    source: str | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that the verdict rests on.

    flags:    as the tables say now;  refused: those whose row is not taken
    switches: by workflow; without a row a workflow is on
    twice:    orders of ours that ShipStation has more than once, made in this time
    """

    window: Window
    minutes: Sequence[Minute]
    flags: Flags
    refused: frozenset[str]
    switches: Mapping[str, bool]
    last_change: LastChange | None
    twice: Sequence[str]


def criteria(stage: int, evidence: Evidence) -> tuple[Criterion, ...]:
    """Return every criterion of a stage, in the order of reading."""
    figures = total(minute.figures for minute in evidence.minutes)
    found = [_stability(evidence), *_flags(stage, evidence), *_workflows(stage, evidence), _last_change(evidence)]
    for workflow in ("upload", "xml-import")[:stage]:
        found += [*_checks(workflow, figures), _gap(f"longest gap between {workflow} checks", workflow, evidence)]
    found.append(_gap("longest gap in polling_state", POLLING_STATE, evidence))
    if stage == 2:
        found.append(_sync_cycles(figures, evidence))
    found.append(_latency(stage, figures, evidence))
    counted = [*_faults(figures), *_calls(figures, evidence), _missed(stage, figures, evidence)]
    found += counted if evidence.minutes else [replace(each, **UNKNOWN) for each in counted]
    return (*found, _none("orders uploaded twice", len(evidence.twice), note=", ".join(evidence.twice[:10])))


UNKNOWN: dict[str, Any] = {"measured": "no figures yet", "verdict": Verdict.NO_DATA, "note": ""}
"""Of a time without minutes: nothing was counted, which is not to say that there was nothing."""


def _stability(evidence: Evidence) -> Criterion:
    since, until, first = evidence.window
    name, target = "minutes with figures", f">= {COVERAGE:.1%}"
    if first is None:
        return Criterion(name, target, "none yet", Verdict.NO_DATA, "figures come with the first minutes of a run")
    begin = max(since, min(first, until))
    missing = gaps(evidence.minutes, begin, until)
    longest_at, longest = max(missing, key=lambda gap: gap[1], default=(begin, 0))
    note = f"the longest time without: {longest} min from {longest_at:%Y-%m-%d %H:%M} UTC" if longest else ""
    if begin - since > MINUTE:
        hours = [f"{(until - start).total_seconds() / 3600:.1f}" for start in (begin, since)]
        return Criterion(name, target, f"{hours[0]} of {hours[1]} h so far", Verdict.NO_DATA, note)
    wanted = round((until - begin) / MINUTE)
    share = 1 - sum(n for _, n in missing) / wanted
    return Criterion(name, target, f"{share:.1%} of {wanted:,}", _verdict(share >= COVERAGE), note)


def _flags(stage: int, evidence: Evidence) -> Iterator[Criterion]:
    values = as_texts(evidence.flags)
    for name, wanted in STAGE_FLAGS[stage].items():
        refused = name in evidence.refused
        note = "its row has a value that is refused; the default is shown" if refused else ""
        yield Criterion(name, wanted, values[name], _verdict(values[name] == wanted and not refused), note)


def _workflows(stage: int, evidence: Evidence) -> Iterator[Criterion]:
    for name, wanted in STAGE_WORKFLOWS[stage].items():
        on = evidence.switches.get(name, True)
        remedy = f"`listener {'resume' if wanted else 'pause'} {name}`"
        yield Criterion(name, _switch(wanted), _switch(on), _verdict(on is wanted), "" if on is wanted else remedy)


def _switch(on: bool) -> str:
    return "on" if on else "off"


def _last_change(evidence: Evidence) -> Criterion:
    name, target, change = "last flag change in force", f"<= {GAP_SECONDS:.0f} s", evidence.last_change
    if change is None:
        return Criterion(name, target, "none was made yet", Verdict.NO_DATA, "change a flag, and back, to see it")
    what = f"{change.parameter_name} {change.old} -> {change.new}, {duration(change.seconds)} after it was seen"
    if change.source == Source.NOTIFY:
        return Criterion(name, target, duration(change.seconds), _verdict(change.seconds <= GAP_SECONDS), what)
    longest = longest_gap(evidence.minutes, POLLING_STATE) or evidence.flags.fast_polling_interval
    at_most = longest + change.seconds
    note = f"{what}, which was by {change.source}: up to {duration(longest)} after it was made"
    return Criterion(name, target, f"<= {duration(at_most)}", _verdict(at_most <= GAP_SECONDS), note)


def _checks(workflow: str, figures: Figures) -> Iterator[Criterion]:
    beats, beat_skips = figures.checks_of(workflow, "heartbeat"), figures.checks_of(workflow, "heartbeat", "skip")
    checks, skips = figures.checks_of(workflow), figures.checks_of(workflow, action="skip")
    name, target = f"{workflow} heartbeats that skip", f"> {SKIP_RATE:.0%}"
    note = f"of all checks: {skips / checks:.1%} of {checks:,}" if checks else ""
    if beats < FEW:
        yield Criterion(name, target, f"{beats} heartbeats", Verdict.NO_DATA, note)
    else:
        rate = beat_skips / beats
        yield Criterion(name, target, f"{rate:.1%} of {beats:,}", _verdict(rate > SKIP_RATE), note)
    name, limit, average = f"{workflow} check on average", CHECK_MS[workflow], figures.check_ms_average(workflow)
    if average is None:
        yield Criterion(name, f"< {limit:g} ms", "no check", Verdict.NO_DATA)
    else:
        slowest = f"the slowest took {duration(figures.check_ms_max[workflow] / 1000)}"
        yield Criterion(name, f"< {limit:g} ms", f"{average:.2f} ms", _verdict(average < limit), slowest)


def _gap(name: str, looked_at: str, evidence: Evidence, limit: float = GAP_SECONDS) -> Criterion:
    longest = longest_gap(evidence.minutes, looked_at)
    if longest is None:
        return Criterion(name, f"<= {limit:.0f} s", "less than two", Verdict.NO_DATA)
    return Criterion(name, f"<= {limit:.0f} s", duration(longest), _verdict(longest <= limit))


def _sync_cycles(figures: Figures, evidence: Evidence) -> Criterion:
    gap = _gap("longest gap between sync cycles", "sync", evidence, SYNC_GAP_SECONDS)
    cycles = figures.checks_of("sync")
    return Criterion(gap.name, gap.target, gap.measured, gap.verdict, f"{cycles:,} cycles")


def _latency(stage: int, figures: Figures, evidence: Evidence) -> Criterion:
    """From an order's commit to its acceptance. Measured is from its first sight; what a heartbeat finds may have
    waited before that, for as long as the longest time between two looks.
    """
    name, limit = "an order takes at most", LATENCY_SECONDS[stage]
    if not figures.orders:
        return Criterion(name, f"<= {limit:.0f} s", "no order was uploaded", Verdict.NO_DATA)
    slowest = max(figures.latency_ms_max / 1000, figures.oldest_pending_seconds_max)
    p50, p99 = (duration((figures.latency_percentile(percent) or 0) / 1000) for percent in (50, 99))
    note = f"{figures.orders:,} orders; half took {p50} or less from first sight, 99 % {p99}"
    if figures.checks_of("upload", "heartbeat", "process"):
        unseen = longest_gap(evidence.minutes, "upload") or 0.0
        slowest, note = slowest + unseen, f"{note}; a heartbeat found some, up to {duration(unseen)} after their commit"
    return Criterion(name, f"<= {limit:.0f} s", duration(slowest), _verdict(slowest <= limit), note)


def _faults(figures: Figures) -> Iterator[Criterion]:
    yield _none("ERROR lines in the log", figures.error_lines)
    steps, errors = (int(sum(numbers.values())) for numbers in (figures.steps, figures.errors))
    name, target = "steps that fail", f"< {ERROR_RATE:.0%}"
    if steps < FEW:
        yield Criterion(name, target, f"{steps} steps", Verdict.NO_DATA)
    else:
        rate = errors / steps
        yield Criterion(name, target, f"{rate:.2%} of {steps:,}", _verdict(rate < ERROR_RATE))


def _calls(figures: Figures, evidence: Evidence) -> Iterator[Criterion]:
    most = most_calls_an_hour(evidence.minutes)
    note = f"{figures.calls():,} in all"
    yield Criterion(
        "API calls in the busiest hour", f"< {CALLS_AN_HOUR}", f"{most}", _verdict(most < CALLS_AN_HOUR), note
    )
    yield _none("429 answers of ShipStation", figures.calls("429"))
    name, target, peak = "connections at most", f"< {CONNECTIONS}", figures.connections_max
    if peak:
        yield Criterion(name, target, f"{peak}", _verdict(peak < CONNECTIONS))
    else:
        yield Criterion(name, target, "not seen", Verdict.NO_DATA)


def _missed(stage: int, figures: Figures, evidence: Evidence) -> Criterion:
    waits = total(minute.figures for minute in evidence.minutes[-1:]).oldest_pending_seconds_max
    if waits > LATENCY_SECONDS[stage]:
        return Criterion("orders missed", "none", f"one waits for {duration(waits)}", Verdict.NOT_MET)
    return _none("orders missed", figures.missed, note="found by a heartbeat, and announced by no bell")


def _none(name: str, found: int, note: str = "") -> Criterion:
    return Criterion(name, "none", f"{found:,}" if found else "none", _verdict(not found), note if found else "")


def _verdict(met: bool) -> Verdict:
    return Verdict.OK if met else Verdict.NOT_MET


def duration(seconds: float) -> str:
    """Return a time as people read it."""
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
