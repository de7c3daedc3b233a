"""What the faults in force do to the calls that pass."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from listener.embedded import faults
from listener.embedded.fault import AFTER, BEFORE
from listener.embedded.faults import Injected
from listener.embedded.shipstation.calls import Answer, Call, JsonObject
from listener.embedded.shipstation.fault import Fault


class Faults(faults.Faults[Fault]):
    """ShipStation's; without any in force it costs a call one look at an empty tuple."""

    def before(self, call: Call) -> Answer | None:
        """Act on a request before its work; an answer returned here replaces work and answer."""
        if not self._injected:
            return None
        numbers = call.order_numbers()
        answer: Answer | None = self.act(BEFORE, _names(call, numbers))
        if answer is None and call.method == "POST":
            spoiled = next(self._hit_by(call, numbers, "poison"), None)
            answer = spoiled.fault.answer() if spoiled else None
        return answer

    def after(self, call: Call, answer: Answer) -> Answer:
        """Act on a request after its work; returns the answer to give."""
        if not self._injected:
            return answer
        answer = self._spoil_page(call, self._rearrange(call, answer))
        answer = self.act(AFTER, _names(call, call.order_numbers())) or answer
        cut = next(self._hit_by(call, call.order_numbers(), "cut"), None)
        return replace(answer, cut=True) if cut else answer

    def refusal(self, call: Call, number: str) -> str | None:
        """Return why this one order is to be refused, or None."""
        if not self._injected:
            return None
        injected = next(self._hit_by(call, frozenset({number}), "partial", "locked"), None)
        return injected.fault.refusal() if injected else None

    def _rearrange(self, call: Call, answer: Answer) -> Answer:
        results = _rows(answer, "results")
        if not results:
            return answer
        kept = [row for row in results if not any(self._hit_by(call, frozenset({row["orderNumber"]}), "missing"))]
        for injected in self._hit_by(call, call.order_numbers(), "permute"):
            kept = injected.shuffled(kept)
        return replace(answer, body={**answer.body, "results": kept})

    def _spoil_page(self, call: Call, answer: Answer) -> Answer:
        numbers = frozenset(row["orderNumber"] for row in _rows(answer, "orders"))
        if not numbers:
            return answer
        spoiled = next(self._hit_by(call, numbers, "poison"), None)
        return (spoiled and spoiled.fault.answer()) or answer

    def _hit_by(self, call: Call, numbers: frozenset[str], *kinds: str) -> Iterator[Injected[Fault]]:
        return self.hit_by(_names(call, numbers), *kinds)


def _names(call: Call, numbers: frozenset[str]) -> Callable[[Fault], bool]:
    return lambda fault: fault.concerns(call.method, call.path) and fault.names_any(numbers)


def _rows(answer: Answer, name: str) -> list[JsonObject]:
    body: Any = answer.body
    return body.get(name, []) if isinstance(body, dict) else []
