"""What each path answers. Figures come from memory; what needs the database is asked by way of the archive."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from listener.database import Connection
from listener.health import colour_of, unready_reasons
from listener.log import Redact
from listener.metrics import Metrics
from listener.status.archive import Archive, Unavailable
from listener.status.assets import read_assets
from listener.status.order_page import message_page, order_page
from listener.status.overview import Overview
from listener.status.prometheus import CONTENT_TYPE, Exporter
from listener.store.story import read_order
from listener.story.timeline import tell

NOW_GOOD_FOR = 1.8
PAST_GOOD_FOR = 2.8
ORDER_GOOD_FOR = 2.8
"""Seconds for which an answer serves everybody: a little less than a page waits before it asks again, so that one
viewer sees what is new each time, and many cost hardly more than one.
"""

FOR_GOOD = {"Cache-Control": "public, max-age=31536000, immutable"}


@dataclass(frozen=True, slots=True)
class Sources:
    """What the pages are made of. `liveness`: the loop turns; `redact` takes our secrets out of what others wrote."""

    metrics: Metrics
    liveness: Callable[[], bool]
    archive: Archive
    redact: Redact = str


class Shared:
    """A body that is made once for all who ask within some time."""

    def __init__(self, make: Callable[[], bytes]) -> None:
        self._make = make
        self._body = b""
        self._until = float("-inf")

    def body(self, good_for: float) -> bytes:
        """Return what was made at most so many seconds ago."""
        if (now := time.monotonic()) >= self._until:
            self._body, self._until = self._make(), now + good_for
        return self._body


class Pages:
    """Each public method answers one path."""

    def __init__(self, sources: Sources) -> None:
        self._metrics, self._archive = sources.metrics, sources.archive
        self._liveness, self._redact = sources.liveness, sources.redact
        self._assets = read_assets()
        self._exporter = Exporter(sources.metrics)
        self._overview = Overview(sources.metrics)
        self._now = Shared(self._make_now)

    async def index(self, _: Request) -> Response:
        """Answer with the page itself, which fetches the rest."""
        return HTMLResponse(self._assets.index)

    async def now(self, _: Request) -> Response:
        """Answer with what is in memory, and the time of now: browsers have another."""
        at = datetime.now(UTC).isoformat().encode()
        return _json_response(b'{"at":"%b",%b' % (at, self._now.body(NOW_GOOD_FOR)[1:]))

    def _make_now(self) -> bytes:
        """Return what all see. `page` changes when there is another page than the one that asks."""
        snapshot = self._metrics.snapshot()
        colour, reasons = colour_of(snapshot)
        health = {"colour": colour, "reasons": reasons}
        return self._body({"page": self._assets.base, "health": health, "status": snapshot})

    async def past(self, _: Request) -> Response:
        """Answer with what is in the database. That it is away is an answer too: the page goes on without."""
        try:
            return _json_response(await self._archive.ask("past", self._read_past, good_for=PAST_GOOD_FOR))
        except Unavailable as fault:
            return self._json({"away": str(fault)})

    def _read_past(self, connection: Connection) -> bytes:
        return self._body({"away": None, **self._overview.read(connection)})

    async def order(self, request: Request) -> Response:
        """Answer with the story of one order."""
        number = request.path_params["number"]
        try:
            question = partial(self._read_order, number=number)
            page, status = await self._archive.ask(f"order {number}", question, good_for=ORDER_GOOD_FOR)
        except Unavailable as fault:
            sentence = f"What became of order {number} cannot be told now: {fault}."
            page, status = self._message("No answer", sentence), 503
        return HTMLResponse(page, status)

    def _read_order(self, connection: Connection, number: str) -> tuple[str, int]:
        """Return its page, and the status that this is answered with."""
        found = read_order(connection, asked=number)
        if found.is_known:
            return order_page(tell(found), self._assets, self._redact), 200
        sentence = (
            f"Nobody has ever seen order {number}: it is not in orders_inbox, shipped_orders, the ledger, any file"
            " that was read, or what ShipStation is known to have. Look at how it is written."
        )
        return self._message("Unknown order", sentence), 404

    async def file(self, request: Request) -> Response:
        """Answer with a file of the page; a browser may keep it for good, since its path changes with its content."""
        file = self._assets.files.get(request.path_params["name"])
        if file is None or not request.url.path.startswith(f"{self._assets.base}/"):
            return JSONResponse({"error": "there is no such file"}, 404)
        content, kind = file
        return Response(content, media_type=kind, headers=FOR_GOOD)

    async def status(self, _: Request) -> Response:
        """Answer with the snapshot alone: for programs."""
        return self._json(self._metrics.snapshot())

    async def scraped(self, _: Request) -> Response:
        """Answer with the counters, for Prometheus."""
        return Response(self._exporter.text(), media_type=CONTENT_TYPE)

    async def live(self, _: Request) -> Response:
        """Answer whether the loop turns."""
        alive = self._liveness()
        return self._json({"live": alive}, 200 if alive else 503)

    async def ready(self, _: Request) -> Response:
        """Answer whether orders are on their way now, and why not."""
        reasons = list(unready_reasons(self._metrics.snapshot()))
        body = {"ready": False, "reasons": reasons} if reasons else {"ready": True}
        return self._json(body, 503 if reasons else 200)

    def _json(self, body: Mapping[str, Any], status: int = 200) -> Response:
        return _json_response(self._body(body), status)

    def _body(self, body: Mapping[str, Any]) -> bytes:
        # In ASCII: a name from a file system may hold what cannot be encoded.
        return json.dumps(_plain(body, self._redact), allow_nan=False, separators=(",", ":")).encode("ascii")

    def _message(self, title: str, sentence: str) -> str:
        return message_page(title, [sentence], self._assets, self._redact)


def _json_response(body: bytes, status: int = 200) -> Response:
    return Response(body, status, media_type="application/json")


def _plain(value: Any, redact: Redact) -> Any:
    """Return a value as JSON has it, without our secrets in its texts. Names of fields are ours, and stay."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, Mapping):
        return {name: _plain(item, redact) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, redact) for item in value]
    return value
