"""A ShipStation that runs here: real HTTP on loopback, one account in memory, faults on order. See `simulator`."""

from listener.embedded.shipstation.account import LOCKED_MESSAGE
from listener.embedded.shipstation.fault import KINDS, Fault, parse_fault
from listener.embedded.shipstation.faults import Injected
from listener.embedded.shipstation.requests import Request
from listener.embedded.shipstation.simulator import ShipStationSimulator

__all__ = ["KINDS", "LOCKED_MESSAGE", "Fault", "Injected", "Request", "ShipStationSimulator", "parse_fault"]
