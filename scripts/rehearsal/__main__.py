"""The rollout, rehearsed: on production's tables with 600 orders, from Phase 0 through both stages and every rollback
to the uninstall and the old scripts again, while orders keep coming. Takes about a minute.

    scripts/rehearse_rollout [--pg-bin DIR]

It uses a PostgreSQL and a ShipStation of its own, on 127.0.0.1, which are gone afterwards. What differs from the real
thing: the heartbeat is a second, the budget of ShipStation calls wide open, and a stage takes seconds, not days.
Exit code 0: every order is at ShipStation once, and the catalog as it was before. The tests play the cutover there and
back alone; .ci/run leaves the rest out, which is to be run by hand, on each version of PostgreSQL that counts.
"""

import argparse
import os
import signal
import sys

from listener.embedded.postgres import find_binaries
from listener.errors import Fatal
from scripts.rehearsal.phases import rehearse
from scripts.rehearsal.stage import Failed, stage

LAST_LINES = 40

STATUSES_SQL = """
select string_agg(count || ' ' || status, ', ' order by count desc)
from (select status, count(*) from orders_inbox group by status) statuses
"""


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/rehearse_rollout", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pg-bin", metavar="DIR", help="the folder of initdb and postgres; as LISTENER_PG_BIN")
    options = parser.parse_args()
    if options.pg_bin:
        os.environ["LISTENER_PG_BIN"] = options.pg_bin
    for ending in (signal.SIGTERM, signal.SIGHUP):  # as Ctrl-C: nothing of the rehearsal may live on
        signal.signal(ending, signal.default_int_handler)
    try:
        return _play()
    except KeyboardInterrupt:
        return 130
    except Fatal as fault:
        print(f"scripts/rehearse_rollout: {fault}", file=sys.stderr)
        return 1


def _play() -> int:
    print(f"PostgreSQL from {find_binaries()}")
    with stage() as scene:
        print(f"PostgreSQL {scene.ask('show server_version')}, {len(scene.past)} orders: {scene.ask(STATUSES_SQL)}")
        try:
            rehearse(scene)
        except Failed as failed:
            for process in scene.processes:
                print(f"--- the last of listener {process.pid} ---", *process.lines[-LAST_LINES:], sep="\n")
            print(f"FAILED  {failed}")
            return 1
    print("\nThe rollout and its way back were rehearsed: all is well.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
