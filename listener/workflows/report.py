"""What a step of a workflow reports back to the loop: how much was done, and when to look again."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StepReport:
    """The end of one bounded step.

    done:        orders, or files, that this step finished
    more:        there is work that is due now: the step is due again at once
    retry_after: seconds until something that waits is due (None: nothing waits for a time)
    """

    done: int = 0
    more: bool = False
    retry_after: float | None = None
