"""How the running listener is, asked from another process: of its status page, or of what it left in the database."""

import http.client
import json
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from typing import Any

from listener.database import Connection
from listener.errors import Transient
from listener.events import Leader
from listener.flags import Flags, parse_flags
from listener.minutes import total
from listener.snapshot import CONTROL_NAMES, Fields, Workflow, body_of
from listener.store.config import READ_CONFIG_SQL, decode_config
from listener.store.heartbeat import Heartbeat, read_heartbeat
from listener.store.minutes import read_minutes

ANSWER_SECONDS = 2.0
LARGEST_ANSWER = 1024 * 1024

ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  whoever listens on all is asked on this machine
BEAT_MAY_TAKE_SECONDS = 60
"""A step that is under way comes first, and may send for 30 s."""

RECENT = timedelta(minutes=15)
DAY = timedelta(hours=24)


def ask_page(address: tuple[str, int]) -> dict[str, Any]:
    """Return what the page at (host, port) says of its listener. Raises Transient when there is none."""
    host, port = ANY_ADDRESS.get(address[0], address[0]), address[1]
    try:
        with closing(http.client.HTTPConnection(host, port, timeout=ANSWER_SECONDS)) as page:
            page.request("GET", "/status.json")
            answer = page.getresponse()
            body = json.loads(answer.read(LARGEST_ANSWER))
    except (OSError, http.client.HTTPException) as error:
        raise Transient(str(getattr(error, "strerror", None) or error or type(error).__name__)) from error
    except (ValueError, RecursionError) as error:
        raise Transient("what answers there is no listener") from error
    if answer.status != 200 or not isinstance(body, dict) or not body.keys() >= {"role", "workflows", "recent"}:
        raise Transient("what answers there is no listener")
    return body


def ask_database(connection: Connection) -> tuple[Heartbeat, dict[str, Any]]:
    """Return what the leader has left, and that in the shape of /status.json; what nobody wrote down is null there."""
    seen = read_heartbeat(connection)
    config = connection.execute(READ_CONFIG_SQL).fetchone()
    assert config is not None  # noqa: S101  a select without from has one row
    tables = decode_config(config[0])
    flags, _ = parse_flags(tables.flags, Flags())
    begin = max(seen.since or seen.now, seen.now - DAY)
    minutes = read_minutes(connection, begin.replace(second=0, microsecond=0), seen.now)
    totals = total(minute.figures for minute in minutes)
    recent = total(minute.figures for minute in minutes if minute.minute > seen.now - RECENT)
    workflows = {name: Workflow(enabled=tables.workflows.get(name, True)) for name in CONTROL_NAMES.values()}
    body = body_of(_known(seen, flags), workflows, totals, recent, seen.now)
    body["listening"] = body["deaf"] = body["mirror"]["orders"] = body["api_budget"]["waiting_seconds"] = None
    percentiles = {f"p{percent}": totals.latency_percentile(percent) for percent in (50, 99)}
    body["order_latency_ms"] = percentiles | {"n": totals.orders}
    body["version"], body["started_at"] = None, seen.since.isoformat() if seen.since else None
    return seen, body


def _overdue(seen: Heartbeat, flags: Flags) -> Iterator[str]:
    """Say that the leader has the lock and does not look, as one does that hangs."""
    ago = seen.beat_seconds_ago
    if seen.holder and (ago is None or ago > 2 * flags.fast_polling_interval + BEAT_MAY_TAKE_SECONDS):
        last = "there was no heartbeat yet" if ago is None else f"the last heartbeat was {ago:.0f} s ago"
        yield f"{last}, and one is due every {flags.fast_polling_interval} s"


def _known(seen: Heartbeat, flags: Flags) -> Fields:
    return {
        "role": "leader" if seen.holder else "standby",
        "leader": Leader(seen.host, seen.pid, seen.epoch or 0, seen.since) if seen.holder else None,
        "listening": False,
        "deaf": False,
        "degraded": list(_overdue(seen, flags)),
        "pending": seen.pending,
        "oldest_pending_seconds": 0.0,
        "held_back": seen.held_back,
        "flags": flags,
        "db_connections": seen.connections,
        "api_used_last_hour": seen.api_calls,
        "api_limit": flags.api_calls_per_hour,
        "api_waiting_seconds": 0.0,
        "mirror_orders": 0,
        "mirror_full": bool(seen.mirror_full),
        "mirror_fresh_at": seen.mirror_fresh_at,
    }
