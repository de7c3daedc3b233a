"""A database's whole definition as text, for the comparison of before and after.

The rule: two databases with equal text behave alike; so it also holds what pg_dump leaves out.
"""

import subprocess

import psycopg

from listener.embedded.postgres import find_binaries

# pg_dump leaves out an invalid index, and ALTER DATABASE ... SET unless it also writes CREATE DATABASE. Triggers that
# are off, and the bodies of functions, do stand in a dump.
LEFT_OUT = """
select 'setting of ' || coalesce(nullif(setrole, 0)::regrole::text, 'everybody') || ': ' || unnest(setconfig)
  from pg_db_role_setting
 where setdatabase = (select oid from pg_database where datname = current_database())
union all
select 'invalid index: ' || indexrelid::regclass::text from pg_index where not indisvalid
order by 1
"""

NOISE = ("\\restrict ", "\\unrestrict ", "-- Dumped from ", "-- Dumped by ")


def catalog(url: str) -> str:
    """Return the definition of a database, from its tables to its settings, in a fixed order."""
    pg_dump = str(find_binaries() / "pg_dump")
    dump = subprocess.run([pg_dump, "--schema-only", "--dbname", url], check=True, capture_output=True, text=True)
    lines = [line for line in dump.stdout.splitlines() if not line.startswith(NOISE)]
    with psycopg.connect(url) as db:
        lines += [row[0] for row in db.execute(LEFT_OUT)]
    return "\n".join(lines) + "\n"
