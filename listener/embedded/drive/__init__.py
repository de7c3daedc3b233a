"""A Google Drive that runs here: real HTTP on loopback, a token endpoint, one folder, faults on order. See `simulator`.

It needs `cryptography`, which comes with google-auth.
"""

from listener.embedded.drive.account import make_private_key
from listener.embedded.drive.fault import Fault
from listener.embedded.drive.simulator import DriveSimulator
from listener.embedded.faults import Injected

__all__ = ["DriveSimulator", "Fault", "Injected", "make_private_key"]
