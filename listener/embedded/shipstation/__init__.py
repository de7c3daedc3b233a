"""A ShipStation that runs here: real HTTP on loopback, one account in memory, faults on order. See `simulator`."""

from listener.embedded.faults import Injected
from listener.embedded.shipstation.account import LOCKED_MESSAGE
from listener.embedded.shipstation.fault import Fault
from listener.embedded.shipstation.simulator import Request, ShipStationSimulator

__all__ = ["LOCKED_MESSAGE", "Fault", "Injected", "Request", "ShipStationSimulator"]
