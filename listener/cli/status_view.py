"""The answer of `listener status` as a person reads it in a terminal. Texts from outside are texts, never markup."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from listener.health import Colour, colour_of
from listener.log import escape
from listener.story.wording import span

HEADLINES = {
    Colour.GREEN: ("● All is well", "bold green"),
    Colour.AMBER: ("▲ Look tomorrow", "bold yellow"),
    Colour.RED: ("✖ Look now", "bold red"),
}
"""The same words as the page's: amber is what a WARNING means, red what an ERROR means."""

UNKNOWN = "-"


def view(body: dict[str, Any], asked: str) -> RenderableType:
    """Return the whole answer."""
    colour, reasons = colour_of(body)
    words, style = HEADLINES[colour]
    if colour is Colour.GREEN and body["listening"] is None:
        words, style = "● A listener leads; whether all is well, its page would tell", "bold"
    lines: list[RenderableType] = [Text(words, style), *(_text(f"  {reason}") for reason in reasons)]
    lines += [Text(), _figures(body), Text(), _workflows(body["workflows"])]
    lines += [_text(remark) for remark in _remarks(body["workflows"])]
    return Group(*lines, Text(), _text(f"asked: {asked}", "dim"))


def message(sentence: str) -> RenderableType:
    """Return what is shown while nobody answers."""
    return Group(Text("✖ No contact", "bold red"), _text(f"  {sentence}"))


def _figures(body: dict[str, Any]) -> RenderableType:
    grid = Table.grid(padding=(0, 3, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column()
    for name, value in _rows(body):
        grid.add_row(name, _text(value))
    return Padding(grid, (0, 0, 0, 2))


def _rows(body: dict[str, Any]) -> Iterator[tuple[str, str]]:
    latency, budget, recent = body["order_latency_ms"], body["api_budget"], body["recent"]
    yield "role", f"{body['role']}, {_since(body['started_at'])}, version {body['version'] or UNKNOWN}"
    yield "leader", _leader(body["leader"])
    oldest = body["oldest_pending_seconds"]
    waits = f", the oldest due one for {span(oldest)}" if oldest else ""
    yield "orders", f"{body['pending']} pending{waits}; {body['held_back']} held back"
    yield "latency", f"p50 {_ms(latency['p50'])}, p99 {_ms(latency['p99'])}, of {latency['n']} orders"
    yield "API budget", f"{budget['used_last_hour']} of {budget['limit']} calls in the last hour"
    yield "wakes", ", ".join(f"{source} {n}" for source, n in body["wakes"].items() if n) or "none yet"
    yield "bell", f"{_hearing(body)}; {body['missed_notifications']} missed notifications"
    beats = recent["heartbeat_checks"]
    share = f" (skip rate {100 * recent['heartbeat_skips'] / beats:.1f} %)" if beats else ""
    yield "last 15 min", f"{beats} heartbeats{share}; a check takes {_ms(recent['check_ms_avg'])}"
    yield "connections", str(body["db_connections"])


def _leader(leader: dict[str, Any] | None) -> str:
    if leader is None:
        return "not known"
    where = f"process {leader['pid'] or UNKNOWN} on {leader['host'] or UNKNOWN}"
    return f"{where}, epoch {leader['epoch']}, {_since(leader['since'])}"


def _hearing(body: dict[str, Any]) -> str:
    if body["listening"] is None:
        return "whether it is heard the database cannot tell"
    if not body["listening"]:
        return "not listening"
    return "deaf" if body["deaf"] else "heard"


def _workflows(workflows: dict[str, Any]) -> RenderableType:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("  workflow", no_wrap=True)
    for name in ("state", "next run", "last run"):
        table.add_column(name)
    for name in ("done", "errors"):
        table.add_column(name, justify="right")
    for name, flow in workflows.items():
        table.add_row(*map(_text, _cells(name, flow)))
    return table


def _remarks(workflows: dict[str, Any]) -> Iterator[str]:
    for name, flow in workflows.items():
        if flow["progress"]:
            yield f"  {name}: {flow['progress']}"
        if flow["last_error"]:
            yield f"  {name}, last error {_ago(flow['last_error_at'])}: {flow['last_error']}"


def _cells(name: str, flow: dict[str, Any]) -> Sequence[str]:
    state = flow["state"] or (UNKNOWN if flow["enabled"] else "disabled")
    due = f"backs off, {_until(flow['backoff_until'])}" if flow["backoff_until"] else _until(flow["next_due_at"])
    return f"  {name}", state, due, _ago(flow["last_run_at"]), str(flow["processed"]), str(flow["errors"])


def _text(text: str, style: str = "") -> Text:
    return Text(escape(text), style)


def _ms(value: float | None) -> str:
    if value is None:
        return UNKNOWN
    return f"{value:.1f} ms" if value < 1000 else span(value / 1000)


def _seconds_since(instant: str) -> float:
    return (datetime.now(UTC) - datetime.fromisoformat(instant)).total_seconds()


def _since(instant: str | None) -> str:
    return f"for {span(_seconds_since(instant))}" if instant else UNKNOWN


def _ago(instant: str | None) -> str:
    return f"{span(_seconds_since(instant))} ago" if instant else UNKNOWN


def _until(instant: str | None) -> str:
    return f"in {span(-_seconds_since(instant))}" if instant else UNKNOWN
