"""The HTTP server of the status pages, in a thread and an event loop of its own.

It must not disturb what it reports on: it installs no signal handlers, sets up no logging, never blocks the main loop,
and an address that is taken costs the pages, not the listener. However many connections are left hanging, a new one is
answered: the one that kept us waiting longest makes room for it.
"""

import asyncio
import ipaddress
import logging
import socket
import threading
from contextlib import suppress

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from listener.status.app import build_app
from listener.status.pages import Sources

logger = logging.getLogger(__name__)

REQUEST_SECONDS = 10.0
"""A request that is not complete by then is dropped, as is an answer that nobody reads: ours take a millisecond."""

CONNECTIONS = 64
"""Far below the usual limit of 1,024 open files, which the database's sockets share."""

STOP_SECONDS = 0.9
"""The thread is a daemon: one that is still busy then ends with the process."""


class StatusServer:
    """Serves the pages until it is stopped."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._server: Server | None = None
        self._thread: threading.Thread | None = None
        self.port: int | None = None
        """The port in use: the one that was asked for, or what port 0 became."""

    def start(self, address: tuple[str, int]) -> bool:
        """Serve at (host, port). False when the address cannot be had: a warning says so, and the listener goes on."""
        try:
            listening = _listen(address)
        except OSError as error:
            logger.warning(
                "no status page: cannot listen on %s (%s); set STATUS_ADDRESS to a free address, or to off",
                *(
                    _shown(address),
                    str(error.strerror).partition(" (while ")[0],
                ),  # create_server adds the address again
                extra={"event": "status_address_unavailable"},
            )
            return False
        _warn_when_open(listening, address)
        self.port = listening.getsockname()[1]
        self._server = Server(_config(self._sources, address[0]))
        self._thread = threading.Thread(target=_run, args=(self._server, listening), name="status", daemon=True)
        self._thread.start()
        return True

    def stop(self) -> None:
        """Stop serving, within a second."""
        if self._server and self._thread:
            self._server.end()
            self._thread.join(STOP_SECONDS)
        self._sources.archive.stop()


class Server(uvicorn.Server):
    """uvicorn's server, which wakes ten times a second to see whether to end. This one sleeps until it is told."""

    _told: asyncio.Event | None = None

    async def main_loop(self) -> None:
        await self.on_tick(0)
        self._told, self._loop = asyncio.Event(), asyncio.get_running_loop()
        while not self.should_exit:
            await self._told.wait()

    def end(self) -> None:
        """Have it end; called by another thread."""
        self.should_exit = self.force_exit = True
        if self._told:
            with suppress(RuntimeError):  # its loop has come to its end already
                self._loop.call_soon_threadsafe(self._told.set)


class Connection(H11Protocol):
    """uvicorn's connection, with a limit on how long it may keep us waiting: uvicorn has one for idle ones only."""

    deadline: asyncio.TimerHandle

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._wait()
        if len(self.connections) > CONNECTIONS:
            ours = [connection for connection in self.connections if isinstance(connection, Connection)]
            slowest = min(ours, key=lambda connection: connection.deadline.when())
            self.connections.discard(slowest)
            slowest.transport.abort()

    def on_response_complete(self) -> None:
        self.deadline.cancel()
        self._wait()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self.deadline.cancel()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self.deadline = self.loop.call_later(REQUEST_SECONDS, self.transport.abort)


def _config(sources: Sources, host: str) -> uvicorn.Config:
    return uvicorn.Config(
        build_app(sources, allowed_hosts=[host]),
        http=Connection,
        loop="asyncio",
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="error",  # of uvicorn's own loggers: a port scan is no event
        access_log=False,
        server_header=False,
        date_header=False,  # the application's: uvicorn's would be that of its last look
        proxy_headers=False,
    )


def _run(server: Server, listening: socket.socket) -> None:
    with listening:
        try:
            server.run(sockets=[listening])
        except Exception:
            logger.exception("the status page stopped", extra={"event": "status_server_failed"})


def _listen(address: tuple[str, int]) -> socket.socket:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    return socket.create_server(address, family=family)


def _warn_when_open(listening: socket.socket, address: tuple[str, int]) -> None:
    if not ipaddress.ip_address(listening.getsockname()[0].partition("%")[0]).is_loopback:
        logger.warning(
            "the status page at %s is open to other machines and asks for no password; STATUS_ADDRESS moves it",
            _shown(address),
            extra={"event": "status_address_open"},
        )


def _shown(address: tuple[str, int]) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
