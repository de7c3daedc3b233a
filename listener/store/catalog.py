"""The catalog as doctor reads it: triggers, roles' settings, indexes, privileges, sizes, and the check's plan."""

from collections.abc import Iterator, Sequence
from typing import Any

from psycopg.rows import class_row

from listener.database import SESSION_SETTINGS, Connection
from listener.doctor.seen.schema import (
    CheckPlan,
    HotIndex,
    Index,
    Indexes,
    Lacking,
    PlannerSetting,
    Privileges,
    Table,
    Tables,
    Trigger,
)
from listener.doctor.seen.server import RoleSetting, SilentWriters
from listener.store.inbox import CHECK_SQL, PENDING
from listener.store.progress import TRIGGERS

DISABLED_SQL = """
select 'public.' || pg_catalog.quote_ident(c.relname), t.tgname::text
from pg_catalog.pg_trigger t
join pg_catalog.pg_class c on c.oid = t.tgrelid join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where t.tgname = any (%s) and t.tgenabled <> 'O' and n.nspname = 'public' order by t.tgname
"""


def disabled_triggers(connection: Connection) -> tuple[Trigger, ...]:
    """Return those of our triggers that are there and do not fire for everybody as they should."""
    return tuple(Trigger(*row) for row in connection.execute(DISABLED_SQL, [list(TRIGGERS)]))


SET_BY_SQL = """
select case when s.setrole = 0 then 'database' when s.setdatabase = 0 then 'user' else 'database user' end
from pg_catalog.pg_db_role_setting s cross join unnest(s.setconfig) as setting
left join pg_catalog.pg_roles r on r.oid = s.setrole left join pg_catalog.pg_database d on d.oid = s.setdatabase
where setting like %s and (s.setrole = 0 or r.rolname = current_user)
  and (s.setdatabase = 0 or d.datname = current_database())
order by s.setrole <> 0 desc, s.setdatabase <> 0 desc limit 1
"""


def set_by(connection: Connection, name: str) -> str:
    """Return what sets a setting for new sessions of ours, in the words of pg_settings.source; '' for nothing."""
    row = connection.execute(SET_BY_SQL, [name.replace("_", "\\_") + "=%"]).fetchone()
    return str(row[0]) if row else ""


ROLE_SETTINGS_SQL = """
select coalesce(r.rolname::text, '') as role, coalesce(d.datname::text, '') as database,
       split_part(setting, '=', 1) as name, substr(setting, strpos(setting, '=') + 1) as value
from pg_catalog.pg_db_role_setting s cross join unnest(s.setconfig) as setting
left join pg_catalog.pg_roles r on r.oid = s.setrole left join pg_catalog.pg_database d on d.oid = s.setdatabase
where (s.setdatabase = 0 or d.datname = current_database())
  and (lower(split_part(setting, '=', 1)) = 'listener.bell' and substr(setting, strpos(setting, '=') + 1) = 'off'
       or split_part(setting, '=', 1) = 'session_replication_role' and setting <> 'session_replication_role=origin')
order by 3, 1, 2
"""

SUBSCRIPTIONS_SQL = """
select s.subname::text from pg_catalog.pg_subscription s
join pg_catalog.pg_subscription_rel r on r.srsubid = s.oid
where r.srrelid = pg_catalog.to_regclass('public.orders_inbox') order by 1
"""

ORIGIN_SQL = "select reset_val from pg_catalog.pg_settings where name = 'session_replication_role'"


def silent_writers(connection: Connection) -> SilentWriters:
    """Return whose orders do not ring, as far as the catalog knows."""
    settings = connection.cursor(row_factory=class_row(RoleSetting)).execute(ROLE_SETTINGS_SQL).fetchall()
    subscriptions = tuple(name for (name,) in connection.execute(SUBSCRIPTIONS_SQL))
    row = connection.execute(ORIGIN_SQL).fetchone()
    return SilentWriters(tuple(settings), subscriptions, row[0] if row else "origin")


MISSING_INDEXES_SQL = """
select name, file from unnest(%s::text[], %s::text[]) as wanted (name, file)
where not exists (select from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
                  where n.nspname = 'listener' and c.relname = name and c.relkind = 'i')
"""

INVALID_INDEXES_SQL = """
select pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname)
from pg_catalog.pg_index i
join pg_catalog.pg_class c on c.oid = i.indexrelid join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_class t on t.oid = i.indrelid
where not i.indisvalid and (n.nspname = 'listener' or n.nspname = 'public' and t.relname = any (%s))
  and c.relname <> all (%s)
  and not exists (select from pg_catalog.pg_stat_progress_create_index p where p.index_relid = i.indexrelid)
order by 1
"""

CHECKED_BY_VERIFY = [
    "idx_orders_inbox_awaiting",
    "idx_orders_inbox_pending",
    "idx_orders_inbox_key",
    "idx_shipped_orders_key",
]


def read_indexes(connection: Connection, wanted: Sequence[Index]) -> Indexes:
    """Return which of the wanted indexes of schema listener are missing, and which indexes are left unfinished."""
    names, files = [index.name for index in wanted], [index.file for index in wanted]
    missing = tuple(Index(*row) for row in connection.execute(MISSING_INDEXES_SQL, [names, files]))
    invalid = connection.execute(INVALID_INDEXES_SQL, [["orders_inbox", "shipped_orders"], CHECKED_BY_VERIFY])
    return Indexes(missing, tuple(name for (name,) in invalid))


NEEDED: dict[str, str] = {
    "orders_inbox": "select, insert, update",
    "order_items_inbox": "select, insert, update, delete",
    "configuration_params": "select",
    "workflow_controls": "select, update",
    "polling_state": "select, update",
    "sync_watermark": "select, insert, update",
    "shipped_orders": "select, insert, update, delete",
    "shipped_items": "select, insert, update, delete",
    "shipstation_order_line_items": "select, insert",
    "bundle_skus": "select",
    "bundle_components": "select",
    "sku_lot": "select",
}
"""What the listener does with the shop's tables. In its own schema it does everything."""

# By the catalog and not by has_table_privilege(name): without a right on its schema a name is an error.
LACKING_SQL = """
with roles as (select oid, rolname from pg_catalog.pg_roles where rolname = any (%(roles)s)),
schemas as (select oid, nspname from pg_catalog.pg_namespace where nspname in ('public', 'listener')),
wanted as (
    select c.oid, n.nspname || '.' || pg_catalog.quote_ident(c.relname) as name, trim(privilege) as privilege
    from unnest(%(tables)s::text[], %(privileges)s::text[]) as needed (relname, list)
    cross join unnest(string_to_array(list, ',')) as privilege
    join pg_catalog.pg_class c on c.relname = needed.relname join schemas n on n.oid = c.relnamespace
    where n.nspname = 'public'
    union all
    select c.oid, n.nspname || '.' || pg_catalog.quote_ident(c.relname), privilege
    from pg_catalog.pg_class c join schemas n on n.oid = c.relnamespace
    cross join unnest(array['select', 'insert', 'update', 'delete']) as privilege
    where n.nspname = 'listener' and c.relkind = 'r'),
serial as (
    select s.oid, pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(s.relname) as name
    from wanted w join pg_catalog.pg_depend d on d.refobjid = w.oid and d.deptype = 'a'
        and d.refclassid = 'pg_catalog.pg_class'::regclass and d.classid = 'pg_catalog.pg_class'::regclass
    join pg_catalog.pg_class s on s.oid = d.objid and s.relkind = 'S'
    join pg_catalog.pg_namespace n on n.oid = s.relnamespace
    where w.privilege = 'insert')
select r.rolname::text, 'schema', n.nspname::text, 'usage' from roles r, schemas n
where not pg_catalog.has_schema_privilege(r.oid, n.oid, 'usage')
union all
select r.rolname::text, 'table', w.name, w.privilege from roles r, wanted w
where not case w.privilege when 'delete' then pg_catalog.has_table_privilege(r.oid, w.oid, 'delete')
          else pg_catalog.has_any_column_privilege(r.oid, w.oid, w.privilege) end
union all
select r.rolname::text, 'sequence', s.name, 'usage' from roles r, serial s
where not pg_catalog.has_sequence_privilege(r.oid, s.oid, 'usage')
order by 1, 2, 3, 4
"""

POLICIES_SQL = """
select n.nspname || '.' || c.relname from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where n.nspname = 'public' and c.relname = any (%s) and pg_catalog.row_security_active(c.oid) order by 1
"""

SEES_SQL = """
select pg_catalog.pg_has_role(current_user, 'pg_read_all_stats', 'usage')
    or (select rolsuper from pg_catalog.pg_roles where rolname = current_user), current_user::text
"""


def read_privileges(connection: Connection, roles: Sequence[str]) -> Privileges:
    """Return what the roles lack that we connect as."""
    needed = {"roles": list(roles), "tables": list(NEEDED), "privileges": list(NEEDED.values())}
    lacking = tuple(Lacking(*row) for row in connection.execute(LACKING_SQL, needed))
    hidden = tuple(name for (name,) in connection.execute(POLICIES_SQL, [list(NEEDED)]))
    sees, role = connection.execute(SEES_SQL).fetchone() or (False, "")
    return Privileges(lacking, hidden, bool(sees), str(role))


TABLES_SQL = """
select n.nspname || '.' || c.relname as name, pg_catalog.pg_relation_size(c.oid) as bytes,
       c.relallvisible as pages_all_visible,
       coalesce(s.last_vacuum, s.last_autovacuum) is not null as was_vacuumed,
       coalesce(c.reloptions && array['autovacuum_enabled=false', 'autovacuum_enabled=off'], false) as autovacuum_off
from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
left join pg_catalog.pg_stat_user_tables s on s.relid = c.oid
where c.relkind = 'r' and (n.nspname = 'public' and c.relname = 'orders_inbox'
                           or n.nspname = 'listener' and c.relname = 'ledger')
order by n.nspname desc
"""

_COUNT = "(select count(*) from (select from {table} where {rows} limit 200000) counted)"

HOT_INDEXES_SQL = f"""
select name, pg_catalog.pg_relation_size(index) as bytes, rows
from (select 'public.idx_orders_inbox_pending' as name, pg_catalog.to_regclass('public.idx_orders_inbox_pending')
             as index, {_COUNT.format(table="orders_inbox o", rows=PENDING)} as rows
      union all
      select 'listener.ledger_holds', pg_catalog.to_regclass('listener.ledger_holds'),
             {
    _COUNT.format(table="listener.ledger", rows="state in ('waiting', 'sending', 'unknown', 'held_back')")
}) as hot
where index is not null
"""

AUTOVACUUM_SQL = "select current_setting('autovacuum')::boolean"


def read_tables(connection: Connection) -> Tables:
    """Return what the speed of the check rests on: vacuumed tables, and indexes no larger than what they hold."""
    tables = connection.cursor(row_factory=class_row(Table)).execute(TABLES_SQL).fetchall()
    indexes = connection.cursor(row_factory=class_row(HotIndex)).execute(HOT_INDEXES_SQL).fetchall()
    row = connection.execute(AUTOVACUUM_SQL).fetchone()
    return Tables(tuple(tables), tuple(indexes), bool(row and row[0]))


INBOX_SIZE_SQL = """
select pg_catalog.pg_relation_size('orders_inbox'::regclass), current_database()::text, current_user::text
"""

SWITCHES_SQL = """
select name, source from pg_catalog.pg_settings
where name like 'enable\\_%%' and setting = 'off' and boot_val = 'on' order by name
"""


AS_THE_LISTENER_SQL = """
select set_config(name, value, true) from unnest(%s::text[], %s::text[]) as s (name, value)
where name like 'enable\\_%%'
"""


def explain_check(connection: Connection) -> CheckPlan:
    """Return how the server would answer the check of a work session. It is explained, not run; in a transaction."""
    size, database, role = connection.execute(INBOX_SIZE_SQL).fetchone() or (0, "", "")
    switches = tuple(PlannerSetting(*switch) for switch in connection.execute(SWITCHES_SQL))
    connection.execute(AS_THE_LISTENER_SQL, [list(SESSION_SETTINGS), list(SESSION_SETTINGS.values())])
    row = connection.execute(f"explain (format json) {CHECK_SQL}".encode()).fetchone()
    plan = row[0][0]["Plan"] if row else {}
    return CheckPlan(int(size), tuple(_scans(plan)), switches, str(database), str(role))


def _scans(plan: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if plan.get("Relation Name") == "orders_inbox" or plan.get("Node Type") == "Bitmap Index Scan":
        yield plan["Node Type"], plan.get("Index Name", "")
    for child in plan.get("Plans", []):
        yield from _scans(child)
