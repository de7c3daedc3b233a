"""What every simulator's control calls under /_simulator/ can do: show its calls, and set its faults."""

from typing import Any

from listener.embedded.simulator import Simulator

JsonObject = dict[str, Any]


def requests(simulator: Simulator[Any, Any]) -> JsonObject:
    """Return the calls so far."""
    return {"requests": [request.as_json() for request in simulator.requests]}


def faults(simulator: Simulator[Any, Any]) -> JsonObject:
    """Return the faults in force."""
    return {"faults": [{"kind": injected.fault.kind, "hits": injected.hits} for injected in simulator.faults_in_force]}


def add_faults(simulator: Simulator[Any, Any], body: Any) -> JsonObject:
    """Put one fault, or a list of them, in force. Raises ValueError, and then none is."""
    for fault in [simulator.fault.from_json(one) for one in (body if isinstance(body, list) else [body])]:
        simulator.inject(fault)
    return faults(simulator)


def clear_faults(simulator: Simulator[Any, Any]) -> JsonObject:
    """End every fault."""
    simulator.clear_faults()
    return faults(simulator)
