"""Has spin search `bell.pml` in each of its forms, and compares the verdicts with what is expected.

scripts/model                       all forms, half a minute; exit 1 if a verdict differs
scripts/model --large               the right forms with larger bounds: some minutes, up to 3 GB
scripts/model --show trigger-first  the shortest way in which that form loses an order, in words
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from pathlib import Path

MODEL = Path(__file__).with_name("bell.pml")
HOLDS, FAILS = "holds", "fails"
TOOLS = ("spin", "gcc")


@dataclass(frozen=True, slots=True)
class Form:
    """One form of the model: its name, its switches, the verdict expected, and what it is, in a few words."""

    name: str
    switches: str
    expected: str
    what: str

    @property
    def live(self) -> bool:
        """It is about what happens in the end, not about what must never happen."""
        return "FOUND" in self.switches or "RESTS" in self.switches

    @property
    def defines(self) -> list[str]:
        return [f"-D{switch}" for switch in self.switches.split()]


RIGHT = [
    Form("three-writers", "WRITERS=3", HOLDS, "the bell itself, and its heartbeat"),
    Form("two-orders", "ORDERS=2", HOLDS, "each writer has two transactions, one after the other"),
    Form("savepoints", "SAVEPOINTS", HOLDS, "orders are undone with their bell, and written again"),
    Form("foreign-ids", "FOREIGN HANG", HOLDS, "old ids of other tables; patient questions"),
    Form("row-locks", "ROW_LOCKS", HOLDS, "somebody locks pending rows"),
    Form("errors", "ERRORS=2", HOLDS, "jobs, pings and heartbeats fail"),
    Form("restarts", "KILLS=2", HOLDS, "the process is killed; its sessions live on for a while"),
    Form("lost-sessions", "LOSSES=2", HOLDS, "the work session is lost"),
    Form("dead-links", "DEAD_LINKS=2", HOLDS, "the LISTEN session is lost"),
    Form("takeover", "LISTENERS=2 KILLS=1", HOLDS, "a standby takes over"),
    Form("two-lose", "LISTENERS=2 LOSSES=1 WRITERS=1", HOLDS, "the leader's session is lost, a standby is there"),
    Form("deaf", "LISTENERS=2 DEAFNESSES=1 WRITERS=1", HOLDS, "LISTEN is heard only later; a lease"),
    Form("switched-off", "SWITCHES=2", HOLDS, "an operator wants no bell, and wants it again"),
    Form("reinstalled", "REINSTALL", HOLDS, "the triggers are emptied and installed again"),
    Form("stranger", "STRANGER", HOLDS, "a stranger takes the silence lock"),
    Form("together", "WRITERS=1 KILLS=1 DEAD_LINKS=1 ERRORS=1 REINSTALL STRANGER", HOLDS, "many of these at once"),
    Form("xmin-then-look", "XMIN_THEN_LOOK", HOLDS, "two snapshots in the harmless order"),
]
LIVELY = [
    Form("found", "FOUND HANG", HOLDS, "orders are found though a writer stays open for ever"),
    Form("found-foreign", "FOUND FOREIGN HANG", HOLDS, "and though a foreign transaction does"),
    Form("found-restart", "FOUND KILLS=1", HOLDS, "and after a restart"),
    Form("found-link", "FOUND DEAD_LINKS=1 ERRORS=1", HOLDS, "and after a lost LISTEN session, and an error"),
    Form("found-takeover", "FOUND LISTENERS=2 KILLS=1 WRITERS=1", HOLDS, "and after a takeover"),
    Form("found-deaf", "FOUND DEAFNESSES=1", HOLDS, "and after deafness"),
    Form("rests", "RESTS ERRORS=1", HOLDS, "the listener comes to rest when the writers do"),
    Form("rests-not", "RESTS HANG", FAILS, "it does not while a writer is open"),
    Form("found-no-settle", "FOUND NO_SETTLE", FAILS, "without a settle orders are not found"),
]
WRONG = [
    Form("no-settle", "NO_SETTLE", FAILS, "it releases the lock and sleeps"),
    Form("start-asleep", "START_ASLEEP", FAILS, "it starts with a look and no settle"),
    Form("error-sleeps", "ERROR_SLEEPS ERRORS=1", FAILS, "after an error it sleeps"),
    Form("skip-settle", "SKIP_SETTLE", FAILS, "no settle when the lock was refused"),
    Form("xmax", "XMAX", FAILS, "pg_snapshot_xmax for X"),
    Form("xmax-or-equal", "XMAX OR_EQUAL", FAILS, "the same, and xmin >= X"),
    Form("mark-first", "MARK_FIRST", FAILS, "X is taken before the release"),
    Form("ask-under-lock", "ASK_UNDER_LOCK", FAILS, "question and release swapped"),
    Form("no-probe", "NO_PROBE KILLS=1", FAILS, "no look at the lock after the release"),
    Form("no-leaders-lock", "NO_LEADER_LOCK LOSSES=1", FAILS, "the silence lock without the leader's"),
    Form("look-then-xmin", "LOOK_THEN_XMIN", FAILS, "two snapshots: pending first, then xmin"),
    Form("locks-last", "FOREIGN LOCKS_LAST", FAILS, "patient, and the lock table last"),
    Form("claim-as-look", "CLAIM_AS_LOOK ROW_LOCKS", FAILS, "an empty claim for an empty inbox"),
    Form("replica", "REPLICA", FAILS, "asked where commits show later"),
    Form("drain-last", "DRAIN_LAST", FAILS, "bells are drained after the last question"),
    Form("forgets-ring", "FORGETS_RING", FAILS, "a bell during a job is forgotten"),
    Form("forgets-reconnect", "FORGETS_RECONNECT DEAD_LINKS=1", FAILS, "a reconnect during a job is forgotten"),
    Form("listen-late", "LISTEN_LATE", FAILS, "LISTEN after the look"),
    Form("lease-sleeps", "LEASE_SLEEPS DEAFNESSES=1", FAILS, "it sleeps under a lease"),
    Form("trusts-muted", "TRUSTS_MUTED STRANGER", FAILS, "it sleeps on when it has seen a stranger"),
    Form("trigger-first", "TRIGGER_FIRST", FAILS, "the trigger asks before the row is written"),
    Form("memory", "MEMO SAVEPOINTS", FAILS, "the trigger asks once a transaction"),
    Form("installs-silently", "REINSTALL INSTALLS_SILENTLY", FAILS, "the installation does not ring"),
    Form("rings-first", "REINSTALL RINGS_FIRST", FAILS, "it rings before the triggers are there"),
    Form("unseen-stranger", "STRANGER UNSEEN_STRANGER", FAILS, "known: between two beats nobody sees him"),
]
LARGE = [
    Form("four-writers", "WRITERS=4", HOLDS, ""),
    Form("two-orders", "WRITERS=3 ORDERS=2", HOLDS, ""),
    Form("savepoints", "WRITERS=3 SAVEPOINTS HANG", HOLDS, ""),
    Form("foreign-ids", "WRITERS=3 FOREIGN HANG ERRORS=1", HOLDS, ""),
    Form("row-locks", "WRITERS=3 ROW_LOCKS ERRORS=1", HOLDS, ""),
    Form("restarts", "WRITERS=3 KILLS=2 DEAD_LINKS=1", HOLDS, ""),
    Form("lost-sessions", "WRITERS=3 LOSSES=2 ERRORS=1", HOLDS, ""),
    Form("takeover", "WRITERS=3 LISTENERS=2 KILLS=1", HOLDS, ""),
    Form("two-lose", "LISTENERS=2 LOSSES=1", HOLDS, ""),
    Form("deaf", "LISTENERS=2 DEAFNESSES=1", HOLDS, ""),
    Form("switched-off", "WRITERS=3 SWITCHES=3", HOLDS, ""),
    Form("reinstalled", "WRITERS=3 REINSTALL KILLS=1", HOLDS, ""),
    Form("stranger", "WRITERS=3 STRANGER ERRORS=1", HOLDS, ""),
    Form("together", "KILLS=1 LOSSES=1 DEAD_LINKS=1 ERRORS=1", HOLDS, ""),
    Form(
        "everything",
        "WRITERS=1 KILLS=1 ERRORS=1 DEAFNESSES=1 SWITCHES=1 REINSTALL ROW_LOCKS FOREIGN SAVEPOINTS HANG STRANGER",
        HOLDS,
        "",
    ),
    Form("found", "FOUND WRITERS=3 HANG KILLS=1", HOLDS, ""),
    Form("found-takeover", "FOUND LISTENERS=2 KILLS=1", HOLDS, ""),
    Form("found-lost", "FOUND LOSSES=1 ERRORS=1", HOLDS, ""),
    Form("found-row-locks", "FOUND ROW_LOCKS", HOLDS, ""),
    Form("found-reinstalled", "FOUND REINSTALL DEAD_LINKS=1", HOLDS, ""),
    Form("rests", "RESTS WRITERS=3 ERRORS=1", HOLDS, ""),
]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What spin found; anything but a whole search with a clear end is neither `holds` nor `fails`."""

    word: str
    states: int
    seconds: float


def run(command: Sequence[str], folder: str) -> str:
    """Run a tool to its end; return what it says. Raises CalledProcessError."""
    done = subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.stdout


def build(form: Form, folder: str, options: Sequence[str]) -> None:
    """Make the program that searches the states of `form`."""
    shutil.copy(MODEL, folder)
    beats = ["-DNO_BEATS"] if form.live else []  # who is found by a heartbeat is not found by the bell
    run(["spin", "-a", *form.defines, *beats, MODEL.name], folder)
    how = ["-DNFAIR=4"] if form.live else ["-DSAFETY"]
    run(["gcc", "-w", *how, *options, "-DVECTORSZ=2048", "-o", "pan", "pan.c"], folder)


def check(form: Form, *, large: bool) -> Verdict:
    """Search all states of `form`."""
    options = ["-O2", "-DCOLLAPSE", "-DMEMLIM=4000"] if large else ["-O0", "-DMEMLIM=1000"]
    fairness = ["-a", "-f"] if form.live else []
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="listener-model-") as folder:
        build(form, folder, options)
        told = run(["./pan", "-m1000000", "-w24" if large else "-w20", *fairness], folder)
    return Verdict(verdict_of(told), states_in(told), time.monotonic() - started)


def verdict_of(told: str) -> str:
    """Return what spin's report says of the property; a search that was cut short says nothing."""
    cut_short = "out of memory" in told or "max search depth too small" in told
    if "errors: 0" in told and not cut_short:
        return HOLDS
    # An order that no bell has announced, or a cycle in which nothing more comes of it.
    return FAILS if "ringing>0" in told or "acceptance cycle" in told else "broken"


def states_in(told: str) -> int:
    found = re.search(r"([\d.e+]+) states, stored", told)
    return int(float(found[1])) if found else 0


def show(form: Form) -> None:
    """Print the shortest way in which `form` fails, in words."""
    with tempfile.TemporaryDirectory(prefix="listener-model-") as folder:
        build(form, folder, ["-O0"] if form.live else ["-O0", "-DBFS"])
        run(["./pan", "-m1000000", *(["-a", "-f"] if form.live else [])], folder)
        if not Path(folder, f"{MODEL.name}.trail").exists():
            print(f"{form.name}: nothing to show, it holds")
            return
        beats = ["-DNO_BEATS"] if form.live else []
        told = run(["spin", "-t", "-T", *form.defines, *beats, MODEL.name], folder)
    print(f"{form.name}: {form.what}\n")
    for step in takewhile(lambda line: not line.startswith("spin:"), told.splitlines()):
        print(f"  {step}")


def check_all(forms: Sequence[Form], *, large: bool) -> bool:
    """Check every form and print a table; return whether all is as expected."""
    print(f"{'form':<19} {'expected':<8} {'verdict':<8} {'states':>11} {'seconds':>7}", flush=True)
    wrong = 0
    with ThreadPoolExecutor(1 if large else os.cpu_count()) as pool:  # a large one may need all the memory there is
        for form, verdict in zip(forms, pool.map(partial(check, large=large), forms), strict=True):
            as_expected = verdict.word == form.expected
            wrong += not as_expected
            row = f"{form.name:<19} {form.expected:<8} {verdict.word:<8} {verdict.states:>11,} {verdict.seconds:>7.1f}"
            print(row, "" if as_expected else " <== NOT AS EXPECTED", f" {form.what}".rstrip(), flush=True)
    print(f"{len(forms)} forms of the model, " + (f"{wrong} not as expected" if wrong else "all as expected"))
    return not wrong


def fingerprint() -> str:
    """Return what the verdicts rest on, in short."""
    return hashlib.sha256(MODEL.read_bytes() + Path(__file__).read_bytes()).hexdigest()


def main() -> int:
    """Return the exit code: 0 when all is as expected, or spin is not here; 1 when not; 2 for a wrong name."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large", action="store_true", help="larger bounds")
    parser.add_argument("--show", action="store_true", help="the shortest counter-example of the forms named")
    parser.add_argument("--once", type=Path, metavar="STAMP", help="not again while neither model nor forms change")
    parser.add_argument("names", nargs="*", metavar="FORM", help="all if none is named")
    asked = parser.parse_args()
    if missing := [tool for tool in TOOLS if shutil.which(tool) is None]:
        print(f"{missing[0]} is not installed: the model is not checked")
        return 0
    forms = LARGE if asked.large else RIGHT + LIVELY + WRONG
    if unknown := set(asked.names) - {form.name for form in forms}:
        print(f"no form is called {', '.join(sorted(unknown))}; there are {', '.join(form.name for form in forms)}")
        return 2
    chosen = [form for form in forms if not asked.names or form.name in asked.names]
    if asked.show:
        for form in chosen:
            show(form)
        return 0
    if asked.once and asked.once.exists() and asked.once.read_text() == fingerprint():
        print("the model has not changed since it was checked")
        return 0
    good = check_all(chosen, large=asked.large)
    if asked.once and good:
        asked.once.write_text(fingerprint())
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
