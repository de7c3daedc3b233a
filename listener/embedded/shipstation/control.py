"""The simulator's own HTTP calls under /_simulator/, for a driver in another process.

They need no key, fall under no limit and no fault, and never show among the calls ShipStation has received.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from listener.embedded import control as common
from listener.embedded.shipstation.calls import Answer, Call

if TYPE_CHECKING:
    from listener.embedded.shipstation import ShipStationSimulator

PREFIX = "/_simulator/"


def control(simulator: "ShipStationSimulator", call: Call) -> Answer:
    """Carry out a control call; a bad body is a 400 with one sentence."""
    act = CONTROLS.get((call.method, call.path))
    if act is None:
        known = ", ".join(f"{method} {path}" for method, path in CONTROLS)
        return Answer(404, {"error": f"there is {known}"})
    try:
        return Answer(200, act(simulator, call))
    except ValueError as error:
        return Answer(400, {"error": str(error)})


def _orders(simulator: "ShipStationSimulator", call: Call) -> Any:
    number = call.query.get("ordernumber")
    orders = simulator.orders if number is None else simulator.order_by_number(number)
    return {"orders": orders, "count": len(orders)}


def _requests(simulator: "ShipStationSimulator", _call: Call) -> Any:
    return common.requests(simulator)


def _faults(simulator: "ShipStationSimulator", _call: Call) -> Any:
    return common.faults(simulator)


def _add_faults(simulator: "ShipStationSimulator", call: Call) -> Any:
    return common.add_faults(simulator, call.body)


def _clear_faults(simulator: "ShipStationSimulator", _call: Call) -> Any:
    return common.clear_faults(simulator)


def _set_limit(simulator: "ShipStationSimulator", call: Call) -> Any:
    limit = call.body.get("limit_per_minute", 0) if isinstance(call.body, dict) else 0
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
        raise ValueError('send {"limit_per_minute": 40}, or null for no limit')
    simulator.limit_per_minute = limit
    return {"limit_per_minute": limit}


CONTROLS: Mapping[tuple[str, str], Callable[["ShipStationSimulator", Call], Any]] = {
    ("GET", "/_simulator/orders"): _orders,
    ("GET", "/_simulator/requests"): _requests,
    ("GET", "/_simulator/faults"): _faults,
    ("POST", "/_simulator/faults"): _add_faults,
    ("DELETE", "/_simulator/faults"): _clear_faults,
    ("POST", "/_simulator/limit"): _set_limit,
}
