"""The looks that are not one SQL statement: at our addresses, LISTEN, ShipStation, the status page, the folder.

Each is bounded by whoever calls it. What a neighbour does wrong is an answer; only the database's errors are raised.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from urllib3.exceptions import HTTPError

from listener.database import Connection, connect_step, sentence
from listener.doctor.seen.server import Address, Hearing
from listener.doctor.seen.work import Key, Page, Source
from listener.errors import Fatal, Transient
from listener.http_limits import deadline, watched_pool
from listener.install import way_in
from listener.settings import DriveFolder, Settings
from listener.shipstation.client import ShipStation, is_throttled
from listener.sources.folder import Folder
from listener.store import api_calls, home
from listener.store.backlog import flags_of
from listener.store.server import only_looking, read_server
from listener.wake import find_probe

NAME = "listener doctor"

PAGE_SECONDS = 2.0
LARGEST_PAGE = 2**20

QUESTION = "GET /orders"
CALLS_LEFT_FOR_ORDERS = 1


@dataclass(slots=True)
class Patient:
    """Who is examined: the settings, and a session on the listener's own address, or on the other one."""

    settings: Settings
    offline: bool = False
    addresses: list[Address] = field(default_factory=list)
    connection: Connection | None = None
    setting: str = ""
    url: str = field(default="", repr=False)

    @property
    def database(self) -> Connection:
        """The session. Only a check that asks the database has one for certain."""
        assert self.connection is not None  # noqa: S101  the examination leaves such checks out without one
        return self.connection

    def close(self) -> None:
        """Close the session."""
        if self.connection is not None:
            self.connection.close()

    @property
    def roles(self) -> list[str]:
        """The roles that our addresses log in as."""
        return list({address.server.role: 0 for address in self.addresses if address.server})


def reach(patient: Patient) -> None:
    """Connect to every address of ours, and keep the session on LISTEN_DATABASE_URL, or else the other."""
    for setting, url in _addresses(patient.settings):
        connection, address = _reach(setting, url)
        patient.addresses.append(address)
        if connection is not None:
            patient.close()
            patient.connection, patient.setting, patient.url = connection, setting, url


def _addresses(settings: Settings) -> Iterator[tuple[str, str]]:
    usual, direct = settings.database_url, settings.listen_database_url
    if usual:
        yield "DATABASE_URL", usual
    if direct and direct != usual:
        yield "LISTEN_DATABASE_URL", direct


def _reach(setting: str, url: str) -> tuple[Connection | None, Address]:
    try:
        connection = connect_step(url, NAME)
    except Transient as error:
        return None, Address(setting, None, f"{error}; {way_in(str(error)).replace('DATABASE_URL', setting)}")
    try:
        return connection, Address(setting, read_server(connection))
    except psycopg.Error as error:
        connection.close()
        return None, Address(setting, None, sentence(error))


def listen(patient: Patient) -> Hearing:
    """Have a second connection notify the first."""
    host = patient.database.info.host
    try:
        heard = bool(find_probe(patient.database, patient.url, NAME))
    except psycopg.Error as error:
        return Hearing(False, patient.setting, host, sentence(error), error.sqlstate)
    except Transient as error:
        return Hearing(False, patient.setting, host, str(error))
    return Hearing(heard, patient.setting, host)


def difference_from_home(patient: Patient) -> str | None:
    """Return in what this is another database than that of the first run, '' when it is the same.

    None: the listener's own address is not reached, and by another the host would differ.
    """
    connection = patient.database
    if patient.url != patient.settings.listen_database_url:
        return None
    return home.differences(home.where_it_is(connection), home.read_home(connection))


def ask_shipstation(patient: Patient) -> Key:
    """Ask ShipStation the smallest question that needs the key, if a call may be made."""
    settings = patient.settings
    if patient.offline:
        return Key(not_asked="--offline")
    if not (settings.shipstation_api_key and settings.shipstation_api_secret):
        return Key(not_asked="no key is set here")
    if difference_from_home(patient) != "":
        return Key(not_asked="this is, or may be, a restored copy, which leaves it alone")
    connection = patient.database
    with only_looking(connection):
        limit = flags_of(connection).api_calls_per_hour
    ids, wait = api_calls.take_calls(connection, limit, [QUESTION], leaving=CALLS_LEFT_FOR_ORDERS)
    if not ids:
        return Key(not_asked=f"the budget has no call to spare for {wait:.0f} s")
    return _ask(patient, ids[0])


def _ask(patient: Patient, call_id: int) -> Key:
    """Ask, and write into the journal what came back."""
    settings = patient.settings
    key, secret = settings.shipstation_api_key, settings.shipstation_api_secret
    shipstation = ShipStation(settings.shipstation_base_url, key, secret)
    answer, fault = None, None
    try:
        answer = shipstation.try_key()
    except Transient as error:
        fault = str(error)
    finally:
        shipstation.close()
    status, ms = (answer.status, answer.duration_ms) if answer else (None, 0.0)
    api_calls.note_answer(patient.database, call_id, status=status, duration_ms=ms, orders=0, error=fault)
    if answer is None:
        return Key(fault=str(fault))
    return Key(status=429 if is_throttled(answer) else answer.status)


def read_page(settings: Settings) -> Page:
    """Read what a running listener serves at STATUS_ADDRESS."""
    if settings.status_address is None:
        return Page(None)
    address = _reachable(*settings.status_address)
    try:
        body = _get_page(f"http://{address}/status.json")
        return Page(
            address,
            role=str(body["role"]),
            version=str(body["version"]),
            degraded=tuple(str(reason) for reason in body["degraded"]),
            missed=int(body["missed_notifications"]),
        )
    except (HTTPError, OSError):
        return Page(address, fault="nothing is served there")
    except (ValueError, TypeError, KeyError, RecursionError):
        return Page(address, fault="what is served there is not the listener's page")


def _reachable(host: str, port: int) -> str:
    """Return an address to connect to: one that means every address of this machine is none."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _get_page(url: str) -> Any:
    pool = watched_pool(retries=False)
    try:
        with deadline(PAGE_SECONDS):
            response = pool.request("GET", url, redirect=False, preload_content=False, timeout=PAGE_SECONDS)
            return json.loads(response.read(LARGEST_PAGE, decode_content=True))
    finally:
        pool.clear()


def look_at_source(patient: Patient) -> Source:
    """Look at what ORDER_SOURCE names."""
    match patient.settings.order_source:
        case None:
            return Source(None)
        case DriveFolder() as drive:
            return _look_at_drive(drive, patient)
        case folder:
            return _look_at_folder(folder)


def _look_at_folder(folder: str) -> Source:
    """Look into a folder, and whether each file of it opens."""
    path = Path(folder)
    try:
        listing = Folder(path).listing()
    except Transient as error:
        return Source(folder, fault=str(error))
    names = [*(file.name for file in listing.files), *listing.unsettled]
    closed = [(name, reason) for name in names if (reason := _why_closed(path / name))]
    return Source(folder, len(names) + len(listing.unreadable), (*listing.unreadable, *closed))


def _look_at_drive(drive: DriveFolder, patient: Patient) -> Source:
    """Have Google list a folder, as the import does; no file is downloaded."""
    from listener.sources.drive.open import open_folder  # noqa: PLC0415  it brings google-auth, 10 MB

    name = f"drive:{drive.folder_id}"
    if patient.offline:
        return Source(name, not_asked="--offline")
    try:
        listing = open_folder(drive.folder_id, drive.base_url, drive.key, drive.read_key).listing()
    except (Transient, Fatal) as error:
        return Source(name, fault=str(error))
    found = len(listing.files) + len(listing.unsettled) + len(listing.unreadable)
    return Source(name, found, listing.unreadable)


def _why_closed(file: Path) -> str:
    try:
        file.open("rb").close()
    except OSError as error:
        return error.strerror or type(error).__name__
    return ""
