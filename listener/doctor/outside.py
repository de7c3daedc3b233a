"""Judges of what is not in the database: settings, the folder, ShipStation's opinion of our key, the page. Pure."""

from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from listener.doctor.findings import Finding, counted, error, info, ok, shown, warning
from listener.doctor.seen.work import Key, Page, Source

WITHOUT_WHICH_DOCTOR_WORKS = ("SHIPSTATION_API_KEY", "SHIPSTATION_API_SECRET")
LOOPBACK = ("localhost", "127.0.0.1", "::1")

REASONS_SHOWN = 10


def judge_settings(missing: Sequence[str], faults: Sequence[str], base_url: str) -> Iterator[Finding]:
    """The environment has what `run` needs."""
    todo = "set each, or NAME_FILE to a file that holds it"
    if needed := [name for name in missing if name not in WITHOUT_WHICH_DOCTOR_WORKS]:
        yield error(f"not set: {', '.join(needed)}", todo=todo)
    if keys := [name for name in missing if name in WITHOUT_WHICH_DOCTOR_WORKS]:
        yield info(f"not set here: {', '.join(keys)}, which `listener run` needs", todo)
    for fault in faults:
        yield error(fault)
    url = urlsplit(base_url)
    if url.scheme == "http" and url.hostname not in LOOPBACK:
        yield warning("SHIPSTATION_BASE_URL begins with http: the key travels in the clear", todo="make it https")
    if not (missing or faults):
        yield ok("the environment has what `listener run` needs")


def judge_source(seen: Source) -> Iterator[Finding]:
    """The folder is there, and its files can be read."""
    if seen.folder is None:
        yield ok("ORDER_SOURCE is not set: no files are imported")
    elif seen.not_asked:
        yield info(f"Google was not asked for {shown(seen.folder)}: {seen.not_asked}")
    elif seen.fault:
        todo = "make the folder, share it as the sentence says, or set ORDER_SOURCE to another"
        yield error(f"the import has stopped: {seen.fault}", todo=todo)
    else:
        yield ok(f"ORDER_SOURCE {shown(seen.folder)} has {counted(seen.files, 'XML file', 'XML files')}")
        for name, reason in seen.unreadable:
            yield warning(f"{shown(name)} in ORDER_SOURCE cannot be read: {reason}", todo="mend its name or its rights")


def judge_key(seen: Key) -> Iterator[Finding]:
    """ShipStation takes our key."""
    todo = "set SHIPSTATION_API_KEY and SHIPSTATION_API_SECRET to a key of API V1 that is in force"
    if seen.not_asked:
        yield info(f"ShipStation was not asked: {seen.not_asked}")
    elif seen.fault:
        yield error(seen.fault, todo="look at SHIPSTATION_BASE_URL, the network, and ShipStation's own status")
    elif seen.status in (401, 403):
        yield error(f"ShipStation refuses our key ({seen.status})", todo=todo)
    elif seen.status == 429:
        yield warning("ShipStation throttles us at the moment (429)", todo="who else uses this key?")
    elif seen.status != 200:
        yield warning(f"ShipStation answered {seen.status} to a question that it should answer", todo="try again later")
    else:
        yield ok("ShipStation takes our key")


def judge_page(seen: Page, version: str) -> Iterator[Finding]:
    """What the running listener says of itself."""
    if seen.address is None:
        yield ok("STATUS_ADDRESS is off: no page is served")
        return
    if seen.fault:
        yield info(f"no listener answers at {seen.address} ({seen.fault}); one may run elsewhere")
        return
    for reason in seen.degraded[:REASONS_SHOWN]:
        yield warning(f"the listener at {seen.address} says: {reason}")
    if seen.missed:
        sentence = f"{counted(seen.missed, 'notification was', 'notifications were')} missed since its start"
        yield warning(f"the listener at {seen.address} says: {sentence}", todo="the triggers and LISTEN above say why")
    if seen.version != version:
        yield info(f"the listener at {seen.address} is {shown(seen.version)}, this is {version}", "restart it")
    if not (seen.degraded or seen.missed):
        yield ok(f"the listener at {seen.address} ({shown(seen.role)}) has nothing to complain of")
