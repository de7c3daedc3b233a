"""The plan's own commands, as it has them, on a database as production is; PLAN.md says what holds its other lines."""

import subprocess
from collections.abc import Callable

from listener.embedded.postgres import find_binaries
from listener.install import INSTALL, install
from tests.support.process import ListenerProcess
from tests.support.psql import psql

# Phase 0, "Validation Commands", and the completion script, with the columns that the table has.
FLAGS = """
select parameter_name, value from configuration_params
where parameter_name in ('fast_polling_enabled', 'fast_polling_interval', 'sync_interval') order by 1
"""


def test_the_plans_commands_find_what_install_made(production_dsn: str) -> None:
    psql(production_dsn, *INSTALL)

    def ask(command: str) -> list[str]:
        return psql(production_dsn, command=command).splitlines()

    assert ask("SELECT COUNT(*) FROM polling_state;") == ["1"]
    assert ask(FLAGS) == ["fast_polling_enabled|true", "fast_polling_interval|15", "sync_interval|120"]
    table = [str(find_binaries() / "psql"), production_dsn, "-X", "-c", r"\d orders_inbox"]
    described = subprocess.run(table, capture_output=True, text=True, check=True).stdout.splitlines()
    (index,) = [line for line in described if "idx_orders_inbox_awaiting" in line]
    assert "WHERE status = 'awaiting_shipment'" in index
    assert ask("SHOW statement_timeout;") == ["15s"]
    assert len(ask("SELECT * FROM polling_state;")) == 1
    assert ask("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database();") == ["1"]


def test_the_start_says_at_what_pace_it_works(
    production_dsn: str, listener_process: Callable[..., ListenerProcess]
) -> None:
    install(production_dsn)
    process = listener_process(production_dsn)
    process.wait_for(r"INFO .*Upload workflow started \(fast_polling=true, interval=15s\)$")
    assert process.stop() == 0
    assert not [line for line in process.lines if " ERROR " in line]
