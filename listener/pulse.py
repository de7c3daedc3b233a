"""Notices that the work session has ended while no job of the upload is under way.

Nobody reads from that session between two jobs, so that its end would show at the next beat only, up to 15 s later; and
without its locks nobody leads, so that no writer rings. A server that ends a session says so, or at least closes the
socket: either makes the socket readable, and the selector of the main thread sees it.
"""

import selectors


class Pulse:
    """The socket of the work session in the main thread's selector, as long as the upload's thread is not using it."""

    def __init__(self, selector: selectors.BaseSelector) -> None:
        self._selector = selector
        self._socket: int | None = None

    def feel(self, socket: int | None) -> None:
        """Watch this socket from now on; None: there is no session."""
        self.let_go()
        if socket is not None:
            self._selector.register(socket, selectors.EVENT_READ, self)
            self._socket = socket

    def let_go(self) -> None:
        """Watch nothing: a job begins, which reads from the socket and may close it."""
        if self._socket is not None:
            self._selector.unregister(self._socket)
            self._socket = None

    def has_stirred(self) -> bool:
        """Tell whether the socket has become readable. It says so once: what that means only a job can find out."""
        if self._socket is None or all(key.data is not self for key, _ in self._selector.select(0)):
            return False
        self.let_go()
        return True
