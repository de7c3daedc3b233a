"""Hosts of their own on one machine: network namespaces, each with a cable to a switch on which this machine sits too.

The rule: a cable that is pulled loses everything silently, in both directions, as a real one does; both ends go on.
It needs root, Linux and iproute2: where one is missing the test is skipped with the reason, unless
LISTENER_HOSTS=required.
"""

import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from listener.embedded.postgres import EmbeddedPostgres
from tests.support.postgres import fast_folder


@dataclass(frozen=True)
class Host:
    """One of them, at `address`. `inside` before a command runs it there."""

    name: str
    cable: str
    address: str

    @property
    def inside(self) -> tuple[str, ...]:
        return ("ip", "netns", "exec", self.name)

    def pull_the_cable(self) -> None:
        """Cut it off: what is on its way is lost, and nobody is told."""
        _ip("link", "set", self.cable, "down")

    def plug_it_in(self) -> None:
        """Put it back on the network."""
        _ip("link", "set", self.cable, "up")


class Network:
    """A switch, this machine at `address`, and hosts. Its names are its own, so that several runs do not meet."""

    def __init__(self) -> None:
        self._id = f"lt{secrets.token_hex(3)}"
        # 198.18.0.0/15 is kept for tests of networks (RFC 2544): no real one is in the way.
        self._net = f"198.{18 + secrets.randbelow(2)}.{secrets.randbelow(256)}"
        self.address = f"{self._net}.1"
        self.range = f"{self._net}.0/24"
        self._stack = ExitStack()

    def __enter__(self) -> "Network":
        self._make(("link", "add", self._id, "type", "bridge"), ("link", "del", self._id))
        _ip("addr", "add", f"{self.address}/24", "dev", self._id)
        _ip("link", "set", self._id, "up")
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def host(self, number: int) -> Host:
        """Make a host, its cable plugged in."""
        name, here, there = f"{self._id}h{number}", f"{self._id}p{number}", f"{self._id}e{number}"
        self._make(("netns", "add", name), ("netns", "del", name))
        self._make(("link", "add", here, "type", "veth", "peer", "name", there), ("link", "del", here))
        _ip("link", "set", there, "netns", name)
        _ip("link", "set", here, "master", self._id, "up")
        _ip("-n", name, "link", "set", "lo", "up")
        address = f"{self._net}.{10 + number}"
        _ip("-n", name, "addr", "add", f"{address}/24", "dev", there)
        _ip("-n", name, "link", "set", there, "up")
        return Host(name, here, address)

    def _make(self, make: tuple[str, ...], remove: tuple[str, ...]) -> None:
        def take_away() -> None:
            with suppress(subprocess.CalledProcessError):  # it went with what it hung on
                _ip(*remove)

        _ip(*make)
        self._stack.callback(take_away)


@contextmanager
def network() -> Iterator[Network]:
    """Lay a network, or skip the test where that can't be done."""
    if reason := why_no_hosts():
        if os.environ.get("LISTENER_HOSTS") == "required":
            pytest.fail(f"LISTENER_HOSTS=required, but {reason}")
        pytest.skip(f"no hosts of their own here: {reason}")
    with Network() as laid:
        yield laid


@contextmanager
def server_on(net: Network) -> Iterator[EmbeddedPostgres]:
    """Run a Postgres that lets in who comes over the network."""
    with EmbeddedPostgres(fast_folder(), {"listen_addresses": f"127.0.0.1,{net.address}"}) as server:
        with psycopg.connect(server.url(), autocommit=True) as admin:
            row = admin.execute("show hba_file").fetchone()
            assert row is not None
            with Path(row[0]).open("a") as rules:
                rules.write(f"host all all {net.range} trust\n")
            admin.execute("select pg_reload_conf()")
        yield server


def why_no_hosts() -> str:
    """Return why no network can be laid here; '' when it can."""
    if os.geteuid() != 0:
        return "only root may lay a network"
    if shutil.which("ip") is None:
        return "iproute2 is not installed"
    try:
        with Network() as trial:
            trial.host(1)
    except subprocess.CalledProcessError as fault:
        return f"the system refuses it ({fault.stderr.strip()})"
    return ""


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)
