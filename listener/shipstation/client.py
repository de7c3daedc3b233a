"""ShipStation's API V1 over urllib3: one request, one answer, or the truth about there being none.

What did not leave this machine is `NotSent`; what may have arrived is `NoAnswer`. The difference decides whether an
order must be looked up before it is sent again, so nothing here retries a POST, and no redirect is followed (the
credentials must not travel). An answer is read up to 16 MB and within one deadline for the whole request.
"""

import json
import math
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import urllib3
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError

from listener.errors import Transient
from listener.http_limits import TooLong, Withheld, deadline, read_body, watched_pool

CONNECT_SECONDS = 5.0
DEADLINE_SECONDS = 30.0
SHORTEST_HIDDEN = 8
LARGEST_ANSWER = 16 * 1024 * 1024


class NotSent(Transient):
    """The request did not leave: nothing was done at ShipStation."""


class Held(NotSent):
    """Whoever asked for the request may not make it any more: it was withheld."""


class NoAnswer(Transient):
    """The request may have arrived, and no usable answer came back. `status` is that of an answer without use."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class SpoiledPage(NoAnswer):
    """A list that broke on one of its orders, as it seems: an error of the service's own, or more than can be read."""


class TooManyRequests(NoAnswer):
    """A question was throttled; the answer's headers say for how long."""

    def __init__(self, answer: "Answer") -> None:
        super().__init__(f"ShipStation answered {answer.status}: too many requests", answer.status)
        self.answer = answer


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. Header names are in ShipStation's spelling."""

    status: int
    headers: dict[str, str]
    body: bytes
    duration_ms: float

    def json(self) -> Any:
        """Return the decoded body. Raises NoAnswer when it is no JSON (maintenance pages are HTML).

        A number that is none (NaN, 1e999) is null: PostgreSQL takes it in no JSON, and one must not spoil a page.
        """
        try:
            return json.loads(self.body, parse_constant=lambda _: None, parse_float=_finite)
        except (ValueError, RecursionError) as error:
            raise NoAnswer(f"ShipStation answered {self.status} with something that is not JSON") from error


def _finite(digits: str) -> float | None:
    number = float(digits)
    return number if math.isfinite(number) else None


def is_throttled(answer: Answer) -> bool:
    """ShipStation says that there were too many requests, in the status or, as it also does, in the body alone."""
    return answer.status == 429 or b"too many requests" in answer.body[:100].lower()


class ShipStation:
    """One account. Thread-safe, as urllib3's pool is."""

    def __init__(self, base_url: str, key: str, secret: str) -> None:
        self._base_url = base_url.rstrip("/")
        self._headers = {
            **urllib3.make_headers(basic_auth=f"{key}:{secret}", accept_encoding=True, user_agent="listener"),
            "Content-Type": "application/json",
            "Accept": "application/json",
        }
        self._ours = [
            form.encode() for text in (key, secret, self._headers["authorization"][6:]) for form in _forms(text)
        ]
        self._pool = watched_pool(maxsize=3, retries=False)

    def create_orders(self, body: bytes, may_leave: Callable[[], bool] | None = None) -> Answer:
        """POST /orders/createorders: `body` is a JSON array of at most 100 orders. Raises NotSent, NoAnswer.

        may_leave: asked at the last moment, when the connection stands, and again before each piece of the request
        """
        return self._request("POST", "/orders/createorders", body, may_leave)

    def list_orders(self, query: Mapping[str, str]) -> Answer:
        """GET /orders: one page, which `shipstation.listing` reads.

        Raises NotSent, NoAnswer or TooManyRequests when there is no page: no error reads as "nothing there".
        Source: ShipStation API V1, "List Orders".
        """
        return self._ask(f"/orders?{urlencode(query)}", "what it has")

    def get_order(self, shipstation_order_id: str) -> Answer:
        """GET /orders/{id}: the order, or a 404 for one that is not there any more. Raises as `list_orders`."""
        return self._ask(f"/orders/{quote(shipstation_order_id, safe='')}", "about an order", also=404)

    def list_shipments(self, query: Mapping[str, str]) -> Answer:
        """GET /shipments: a page of the labels bought there; `shipstation.labels` reads it. Raises as `list_orders`."""
        return self._ask(f"/shipments?{urlencode(query)}", "what it has shipped")

    def list_fulfillments(self, query: Mapping[str, str]) -> Answer:
        """GET /fulfillments: a page of what was marked as shipped elsewhere. Raises as `list_orders`."""
        return self._ask(f"/fulfillments?{urlencode(query)}", "what was shipped elsewhere")

    def try_key(self) -> Answer:
        """GET /orders, one of them: the smallest question that needs the key. Any status is an answer.

        Raises NotSent, NoAnswer.
        """
        return self._request("GET", "/orders?pageSize=1", None)

    def close(self) -> None:
        """Close the kept connections."""
        self._pool.clear()

    def _ask(self, path: str, question: str, also: int = 200) -> Answer:
        answer = self._request("GET", path, None)
        if is_throttled(answer):
            raise TooManyRequests(answer)
        if answer.status in (401, 403):
            raise NoAnswer(key_refused(answer.status), answer.status)
        if answer.status == 500:
            raise SpoiledPage(f"ShipStation answered 500 to the question {question}", 500)
        if answer.status not in (200, also):
            raise NoAnswer(f"ShipStation answered {answer.status} to the question {question}", answer.status)
        return answer

    def _request(
        self, method: str, path: str, body: bytes | None, may_leave: Callable[[], bool] | None = None
    ) -> Answer:
        started = time.monotonic()
        timeout = urllib3.Timeout(connect=CONNECT_SECONDS, read=DEADLINE_SECONDS - CONNECT_SECONDS)
        try:
            with deadline(DEADLINE_SECONDS, may_leave):
                response = self._pool.request(
                    method,
                    self._base_url + path,
                    body=body,
                    headers=self._headers,
                    timeout=timeout,
                    redirect=False,
                    preload_content=False,
                )
                content = self._without_secrets(read_body(response, LARGEST_ANSWER))
        except (NewConnectionError, ConnectTimeoutError) as error:
            raise NotSent(f"ShipStation cannot be reached: {_reason(error)}") from error
        except Withheld as error:
            reason = "withheld: the process stood still, or lost its session, before all of the request had left"
            raise (NoAnswer if error.begun else Held)(reason) from error
        except TooLong as error:
            raise SpoiledPage("ShipStation's answer was too long to be read") from error
        except (HTTPError, OSError) as error:
            if refused := _refused_certificate(error):
                raise NotSent(f"ShipStation cannot be reached: its certificate is refused: {refused}") from error
            raise NoAnswer(f"ShipStation did not answer: {_reason(error)}") from error
        headers = {name.title(): value for name, value in response.headers.items()}
        return Answer(response.status, headers, content, (time.monotonic() - started) * 1000)

    def _without_secrets(self, content: bytes) -> bytes:
        """Return an answer without our key: ShipStation's words go into the ledger, and are shown to whoever asks."""
        for secret in self._ours:
            content = content.replace(secret, b"***")
        return content


def _forms(secret: str) -> set[str]:
    """Return a secret as it may stand in an answer; one so short that it could be a word of theirs in none."""
    return {secret, json.dumps(secret)[1:-1]} if len(secret) >= SHORTEST_HIDDEN else set()


def key_refused(status: int) -> str:
    """Return the sentence for a 401 or 403."""
    return f"ShipStation refuses our key ({status}): check SHIPSTATION_API_KEY and SHIPSTATION_API_SECRET"


def _refused_certificate(error: Exception) -> str | None:
    """Return what is wrong with a certificate, if that is why: then nothing of the request has left."""
    causes = [cause for cause in error.args if isinstance(cause, ssl.SSLCertVerificationError)]
    return causes[0].verify_message if causes else None


def _reason(error: Exception) -> str:
    return str(error).rsplit(": ", 1)[-1] or type(error).__name__
