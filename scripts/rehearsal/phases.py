"""What an operator does, in the order of RUNBOOK.md: install, stage 1, stage 2, every rollback, and the way back.

Each phase checks what it promises while orders keep coming; `rehearse` ends with the whole account compared.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import psycopg

from listener.events import IMPORT, SYNC, UPLOAD, WORKFLOWS
from listener.install import INSTALL
from scripts.rehearsal.old_scripts import OldScripts
from scripts.rehearsal.stage import CREATE, Stage
from tests.support.catalog import catalog
from tests.support.process import ListenerProcess

SETTINGS_SQL = """
select json_agg(json_build_array(category, parameter_name, value, sku, enabled) order by category, parameter_name)::text
from (select category, parameter_name, value, sku, null::boolean as enabled from configuration_params
      union all select 'workflow', workflow_name, null, null, enabled from workflow_controls) settings
"""


def rehearse(scene: Stage) -> None:
    """Play all of it. Raises Failed."""
    before = taken(scene)
    with scene.customers:
        phase_0(scene)
        listener = stage_1(scene)
        stage_2(scene)
        rollback_of_a_workflow(scene, listener)
        rollback_of_the_flags(scene, listener)
        rollback_of_the_bell(scene, listener)
        rollback_of_everything(scene, listener, before)
        back_to_the_old_scripts(scene, listener, before)
    the_end(scene)


def there_and_back(scene: Stage) -> None:
    """Play the cutover to the listener and the one back. Raises Failed."""
    before = taken(scene)
    with scene.customers:
        phase_0(scene)
        listener = stage_1(scene)
        back_to_the_old_scripts(scene, listener, before)
    the_end(scene)


class Before(NamedTuple):
    """What the database was before the install."""

    catalog: str
    settings: str


def taken(scene: Stage) -> Before:
    return Before(catalog(scene.url), scene.ask(SETTINGS_SQL))


def phase_0(scene: Stage) -> None:
    scene.title("Phase 0: install, while the old scripts work and orders come")
    scene.old.start()
    scene.wait_for_all("the old scripts at work")
    for file in (*INSTALL, "verify.sql"):
        scene.psql(file)
    scene.do("verify")
    rounds = [script.rounds for script in scene.old.all]
    scene.wait(
        "the old scripts go on",
        lambda: [script.rounds - at for script, at in zip(scene.old.all, rounds, strict=True)],
        lambda more: min(more) > 0,
    )
    _no_fault(scene)


def stage_1(scene: Stage) -> ListenerProcess:
    scene.title("Stage 1: the upload alone; the old import and the old sync go on")
    scene.psql_command(f"update workflow_controls set enabled = false where workflow_name in ('{IMPORT}', '{SYNC}')")
    dry_run = scene.start_listener("--dry-run")
    scene.wait("listener run --dry-run says what would go", lambda: dry_run.output)
    scene.wait("doctor sees that the old uploader still runs", lambda: _old_workflows(scene), lambda old: UPLOAD in old)
    scene.check("the dry run has sent nothing", not _sent_with_a_key(scene))
    scene.check("the dry run ends with 0", dry_run.stop() == 0)
    scene.old.uploader.leaves_one.set()
    left = scene.wait("the old uploader is ended before it could write an id", lambda: scene.old.uploader.left)
    scene.old.upload.stop()
    listener = scene.start_listener()
    _leads(scene, listener)
    scene.wait_for_all("the listener uploads")
    key = scene.ask("select state from listener.ledger where order_key = %s", left)
    scene.check(f"order {left}, which was there without its id, was taken over", key == "adopted")
    scene.customers.add_to_file(5)
    scene.wait_for_all("the old import at work")
    scene.check("doctor knows no old uploader any more", UPLOAD not in _old_workflows(scene))
    _no_fault(scene)
    return listener


def stage_2(scene: Stage) -> None:
    scene.title("Stage 2: the import and the sync")
    scene.old.imports.stop()
    scene.do("resume", IMPORT)
    scene.customers.add_to_file(5)
    scene.wait_for_all("the listener imports")
    scene.old.sync.stop()
    number = sorted(scene.customers.in_file)[-1]
    tracking = scene.account.user.ship(number)["trackingNumber"]
    scene.do("resume", SYNC)
    scene.wait(
        f"order {number} was shipped: its row and shipped_orders say so",
        lambda: scene.ask(
            "select tracking_number from orders_inbox natural join (select order_number from shipped_orders) s"
            " where status = 'shipped' and order_number = %s",
            number,
        ),
        lambda shown: shown == tracking,
    )
    _no_fault(scene)


def rollback_of_a_workflow(scene: Stage, listener: ListenerProcess) -> None:
    scene.title("Rollback of one workflow: the upload is paused")
    scene.do("pause", UPLOAD)
    _wait_for_state(scene, listener, "disabled")
    scene.nothing_goes("paused")
    scene.do("resume", UPLOAD)
    scene.wait_for_all("resumed")
    _no_fault(scene)


def rollback_of_the_flags(scene: Stage, listener: ListenerProcess) -> None:
    scene.title("Rollback of the pace: sql/rollback/flags.sql")
    scene.psql("rollback/flags.sql")
    _wait_for_status(scene, listener, "every 300 s", lambda s: s["flags"]["fast_polling_interval"] == 300)
    _wait_for_state(scene, listener, "resting")
    scene.nothing_goes("at the old pace")
    scene.do("rollback", "flags", "--back")
    scene.wait_for_all("at the new pace again")
    _no_fault(scene)


def rollback_of_the_bell(scene: Stage, listener: ListenerProcess) -> None:
    scene.title("Rollback of the bell: sql/rollback/notify.sql")
    scene.psql("rollback/notify.sql")
    _wait_for_status(scene, listener, "the listener says that the triggers are missing", lambda s: s["degraded"])
    place = listener.mark()
    scene.wait_for_all("without a bell")
    rung = [line for line in listener.lines[place:] if "source=notify" in line]
    scene.check("no pass woke by a notification", not rung)
    scene.do("install")
    _wait_for_status(scene, listener, "nothing is degraded", lambda s: not s["degraded"])
    scene.wait_for_all("with the bell again")
    _no_fault(scene)


def rollback_of_everything(scene: Stage, listener: ListenerProcess, before: Before) -> None:
    scene.title("Rollback of everything: listener rollback all, while a request is under way")
    hold = scene.account.hold(path=CREATE, when="after")
    scene.wait("a request is under way", hold.arrived.is_set)
    scene.do("rollback", "all")
    hold.release()
    scene.account.clear_faults()
    scene.check("the catalog is as it was before Phase 0", catalog(scene.url) == before.catalog)
    waits = "listener install"
    _wait_for_status(scene, listener, "the listener lives and waits", lambda s: waits in str(s["degraded"]))
    scene.nothing_goes("rolled back")
    scene.do("install")
    scene.wait_for_all("installed again")
    scene.customers.add_to_file(5)
    scene.wait_for_all("the import too")
    scene.do("verify")
    _no_fault(scene)


def back_to_the_old_scripts(scene: Stage, listener: ListenerProcess, before: Before) -> None:
    scene.title("Back to the old scripts: pause, wait, stop, uninstall")
    with _locked_while_it_is_sent(scene):
        scene.do("pause", UPLOAD)
        scene.wait("an order was sent, and the shop has its row locked", lambda: scene.ask(UNDER_WAY_SQL))
        _wait_for_state(scene, listener, "disabled")
    scene.wait("nothing is under way", lambda: scene.ask(UNDER_WAY_SQL), lambda count: count == 0)
    scene.check("the listener ends with 0", listener.stop() == 0)
    scene.psql_command("update workflow_controls set enabled = true")
    scene.do("uninstall")
    scene.check("the catalog is as it was before Phase 0", catalog(scene.url) == before.catalog)
    scene.check("so are settings and switches", scene.ask(SETTINGS_SQL) == before.settings)
    scene.old.stop()
    scene.old = OldScripts(scene.url, scene.account, scene.file)
    scene.old.start()
    scene.customers.add_to_file(5)
    scene.wait_for_all("the old scripts at work")
    _no_fault(scene)


def the_end(scene: Stage) -> None:
    scene.title("The end: nobody writes any more")
    scene.wait_for_all("the last ones")
    scene.old.stop()
    there, expected = scene.there(), scene.expected()
    scene.check(f"{len(expected)} orders were to be at ShipStation, and those are there", set(there) == expected)
    scene.check("each of them once", set(there.values()) == {1})
    lost = scene.ask("select count(*) from orders_inbox where status = 'failed'")
    scene.check("none has failed", lost == 0)
    _no_fault(scene)


UNDER_WAY_SQL = """
select count(*) from listener.ledger l
where l.state in ('sending', 'unknown')
   or l.state in ('accepted', 'adopted') and not l.row_written
      and exists (select from orders_inbox o where o.id = l.order_inbox_id)
"""


@contextmanager
def _locked_while_it_is_sent(scene: Stage) -> Iterator[None]:
    """Have the shop lock a row while its order is on its way, so that the answer cannot be written to it."""
    hold = scene.account.hold(path=CREATE, when="after")
    scene.wait("a request is under way", hold.arrived.is_set)
    with psycopg.connect(scene.url) as clerk:
        clerk.execute(
            "select from orders_inbox where order_number in (select order_number from listener.ledger"
            " where state = 'sending') for update"
        )
        hold.release()
        scene.account.clear_faults()
        yield


def _leads(scene: Stage, listener: ListenerProcess) -> None:
    _wait_for_status(scene, listener, "listener run leads", lambda s: s["role"] == "leader")


def _wait_for_status(scene: Stage, listener: ListenerProcess, claim: str, accept: Any) -> None:
    scene.wait(claim, lambda: _status(listener), lambda status: status and accept(status))


def _wait_for_state(scene: Stage, listener: ListenerProcess, state: str) -> None:
    claim = f"the upload is {state}"
    _wait_for_status(scene, listener, claim, lambda s: s["workflows"][UPLOAD]["state"] == state)


def _status(listener: ListenerProcess) -> dict[str, Any]:
    try:
        return listener.status()
    except OSError:  # not yet
        return {}


def _old_workflows(scene: Stage) -> list[str]:
    """The workflows of which doctor says that another program does them beside the listener."""
    findings = json.loads(scene.command("doctor", "--offline", "--json").stdout)["findings"]
    warned = [f["sentence"] for f in findings if f["check"] == "old scripts" and f["severity"] == "warning"]
    return [name for name in WORKFLOWS if any(f" of {name} moved " in sentence for sentence in warned)]


def _sent_with_a_key(scene: Stage) -> bool:
    return any(
        order.get("orderKey", "").startswith("listener-")
        for request in scene.account.requests
        if request.path == CREATE and isinstance(request.body, list)
        for order in request.body
    )


def _no_fault(scene: Stage) -> None:
    scene.none_twice()
    faults = scene.faults()
    scene.check(f"no writer was refused, no ERROR line{f': {faults}'[:400] if faults else ''}", not faults)
