"""What the faults in force do to the calls that pass."""

from dataclasses import replace

from listener.embedded import faults
from listener.embedded.drive.calls import Answer, Call
from listener.embedded.drive.fault import Fault
from listener.embedded.fault import AFTER, BEFORE


class Faults(faults.Faults[Fault]):
    """Drive's."""

    def before(self, call: Call) -> Answer | None:
        """Act on a request before its work; an answer returned here replaces work and answer."""
        answer: Answer | None = self.act(BEFORE, lambda fault: fault.hits(call))
        return answer

    def after(self, call: Call, answer: Answer) -> Answer:
        """Act on a request after its work; returns the answer to give."""
        self.act(AFTER, lambda fault: fault.hits(call))
        for injected in self.hit_by(lambda fault: fault.hits(call), "cut", "short", "other-bytes"):
            if injected.fault.kind == "cut":
                answer = replace(answer, cut=True)
            elif isinstance(answer.body, bytes):
                answer = replace(answer, body=_spoilt(injected.fault.kind, answer.body))
        return answer


def _spoilt(kind: str, body: bytes) -> bytes:
    return body[: len(body) // 2] if kind == "short" else bytes(byte ^ 1 for byte in body)
