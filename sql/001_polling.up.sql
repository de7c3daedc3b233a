-- What the listener needs of the shop's own schema: polling_state, the flags, the workflow switches, four indexes and a
-- time limit for statements. Also listener.installed, which remembers what was there before us, so that
-- 001_polling.down.sql can tell ours from theirs. The first note about an object stays: a second run finds our own
-- work and must not take it for the shop's.
--
-- Nothing that exists is changed but the database's statement_timeout: rows, tables and indexes are only added.
-- Safe to run again, also after a run that broke off.
set search_path = pg_catalog; -- the first step puts schema public in, so that where it refuses, nothing else is done
set statement_timeout = '30s';
set lock_timeout = '2s';
set client_min_messages = warning;
-- next
do $$
declare
    schema_existed constant boolean := to_regnamespace('listener') is not null;
    missing        text;
begin
    if current_setting('server_version_num')::integer < 130000 then
        raise exception 'PostgreSQL 13 or newer is needed; this server is %', current_setting('server_version');
    end if;

    select string_agg(name, ', ') into missing
    from unnest(array['orders_inbox', 'order_items_inbox', 'configuration_params', 'workflow_controls',
                      'sync_watermark', 'shipped_orders', 'shipped_items', 'shipstation_order_line_items',
                      'bundle_skus', 'bundle_components', 'sku_lot']) as t (name)
    where to_regclass('public.' || name) is null;
    if missing is not null then
        raise exception 'tables of the shop are missing in schema public: %; is this the shop''s database? To create them, run sql/base_tables.sql or `listener install --base-tables`', missing;
    end if;

    select string_agg(what, ', ') into missing from (
        select format('CREATE on database %s', current_database())
        where not schema_existed and not has_database_privilege(current_database(), 'create')
        union all
        select 'USAGE and CREATE on schema listener'
        where not (has_schema_privilege(to_regnamespace('listener')::oid, 'usage')
                   and has_schema_privilege(to_regnamespace('listener')::oid, 'create'))
        union all
        select 'CREATE on schema public'
        where not has_schema_privilege('public', 'create')
          and exists (select from unnest(array['polling_state', 'idx_orders_inbox_awaiting', 'idx_orders_inbox_pending',
                                               'idx_orders_inbox_key', 'idx_shipped_orders_key']) as t (name)
                      where to_regclass('public.' || name) is null)
        union all
        select 'ownership of table ' || relname from pg_class
        where relnamespace = 'public'::regnamespace and not pg_has_role(relowner, 'usage')
          and relname in ('orders_inbox', 'shipped_orders', 'configuration_params', 'workflow_controls')
    ) as needed (what);
    if missing is not null then
        raise exception 'role % may not install here, it needs: %; run this as the owner of the shop''s tables, or have that granted', current_user, missing;
    end if;

    select string_agg(format('%s, which is %s', oid::regclass, kind), '; ') into missing from (
        select c.oid, case when c.relkind in ('r', 'p') then 'a table without column ' || ours.column_name
                           else 'no table' end
        from (values ('public.polling_state', 'last_upload_count'), ('public.polling_state', 'last_upload_check'),
                     ('public.polling_state', 'last_xml_count'), ('public.polling_state', 'last_xml_check'),
                     ('listener.installed', 'previous')) as ours (name, column_name)
        join pg_class c on c.oid = to_regclass(ours.name)
        where c.relkind not in ('r', 'p')
           or not exists (select from pg_attribute a
                          where a.attrelid = c.oid and a.attname = ours.column_name and not a.attisdropped)
        union all
        select to_regclass('public.' || ours.name), 'no index on ' || ours.table_name
        from (values ('idx_orders_inbox_awaiting', 'orders_inbox'), ('idx_orders_inbox_pending', 'orders_inbox'),
                     ('idx_orders_inbox_key', 'orders_inbox'), ('idx_shipped_orders_key', 'shipped_orders')
             ) as ours (name, table_name)
        where to_regclass('public.' || ours.name) is not null
          and not exists (select from pg_index i where i.indexrelid = to_regclass('public.' || ours.name)
                                                   and i.indrelid = to_regclass('public.' || ours.table_name))
    ) as foreign_object (oid, kind);
    if missing is not null then
        raise exception 'something else is in the way: %; rename it, then run this again', missing;
    end if;

    create schema if not exists listener;
    create table if not exists listener.installed (
        file     text not null,
        object   text not null,
        existed  boolean not null,
        previous text,
        primary key (file, object)
    );
    insert into listener.installed (file, object, existed)
    values ('001_polling', 'schema listener', schema_existed),
           ('001_polling', 'table polling_state', to_regclass('public.polling_state') is not null)
    on conflict do nothing;
    create table if not exists public.polling_state (
        id                integer primary key default 1,
        last_upload_count integer default 0,
        last_upload_check timestamp default current_timestamp,
        last_xml_count    integer default 0,
        last_xml_check    timestamp default current_timestamp,
        constraint single_row check (id = 1)
    );
    perform set_config('search_path', 'public', false);
end
$$;
-- next
-- Each of the next three notes and adds in one statement, and so under one snapshot.
with added as (
    insert into polling_state (id) values (1) on conflict (id) do nothing returning id
)
insert into listener.installed (file, object, existed)
select '001_polling', 'row of polling_state', not exists (select from added)
on conflict do nothing;
-- next
-- NULLs are distinct in the unique key (category, parameter_name, sku), so ON CONFLICT would never fire here.
with wanted (name, value, notes) as (
    values ('fast_polling_enabled', 'true',
            'true: orders go at once and checks are fast; false: as before, every 300 seconds'),
           ('fast_polling_interval', '15', 'seconds between two checks of the inbox and of the XML source; 1 to 3600'),
           ('sync_interval', '120', 'seconds between two cycles of the ShipStation sync; 10 to 86400'),
           ('notify_enabled', 'true', 'true: new orders wake the listener; false: only its own checks find them'),
           ('api_calls_per_hour', '200', 'calls to ShipStation in any 60 minutes, all workflows together; 1 to 1000000'),
           ('upload_batch_size', '100', 'orders in one request to ShipStation; 1 to 100'),
           ('max_upload_attempts', '5', 'refusals after which an order is failed; 1 to 100'),
           ('max_order_age_days', '14', 'pending orders older than this are held back until requeued; 1 to 3650'),
           ('manual_order_pattern', '^10[0-9]{4}$',
            'order numbers that are never uploaded; a regular expression of at most 200 characters'),
           ('idle_policy', 'always_on', 'always_on, or allow_sleep for a database that suspends when idle'),
           ('idle_after', '300', 'seconds without work after which allow_sleep sleeps; 10 to 86400')
), state as (
    select name, value, notes, exists (
        select from configuration_params c
        where c.category = 'Polling' and c.parameter_name = wanted.name and c.sku is null) as existed
    from wanted
), noted as (
    insert into listener.installed (file, object, existed)
    select '001_polling', 'flag ' || name, existed from state
    on conflict do nothing
)
insert into configuration_params (category, parameter_name, value, sku, notes)
select 'Polling', name, value, null, notes from state where not existed;
-- next
with wanted (name) as (
    values ('shipstation-upload'), ('xml-import'), ('unified-shipstation-sync')
), noted as (
    insert into listener.installed (file, object, existed)
    select '001_polling', 'workflow ' || name,
           exists (select from workflow_controls c where c.workflow_name = wanted.name)
    from wanted
    on conflict do nothing
)
insert into workflow_controls (workflow_name) select name from wanted
on conflict (workflow_name) do nothing;
-- next
-- The indexes. CONCURRENTLY lets writers go on, but leaves an invalid index behind when it is interrupted. Such a one is
-- moved out of the way by name (that takes no lock on the table) and dropped CONCURRENTLY, since a DROP of that kind can
-- stand in no block and so under no condition. One that somebody is building at this moment is not touched.
do $$
declare
    index_name text;
    is_valid   boolean;
    is_built   boolean;
begin
    foreach index_name in array array['idx_orders_inbox_awaiting', 'idx_orders_inbox_pending',
                                      'idx_orders_inbox_key', 'idx_shipped_orders_key'] loop
        select i.indisvalid, exists (select from pg_catalog.pg_stat_progress_create_index p
                                     where p.index_relid = i.indexrelid)
        into is_valid, is_built
        from pg_catalog.pg_index i where i.indexrelid = pg_catalog.to_regclass('public.' || index_name);
        insert into listener.installed (file, object, existed)
        values ('001_polling', 'index ' || index_name, coalesce(is_valid, false))
        on conflict do nothing;
        if not is_valid and not is_built then
            execute pg_catalog.format('alter index public.%I rename to %I', index_name, 'listener_drop_' || index_name);
        end if;
    end loop;
end
$$;
-- next
-- A build waits for older transactions, however long; it stands in nobody's way while it waits.
set lock_timeout = 0;
set statement_timeout = 0;
-- next
drop index concurrently if exists listener_drop_idx_orders_inbox_awaiting;
-- next
drop index concurrently if exists listener_drop_idx_orders_inbox_pending;
-- next
drop index concurrently if exists listener_drop_idx_orders_inbox_key;
-- next
drop index concurrently if exists listener_drop_idx_shipped_orders_key;
-- next
create index concurrently if not exists idx_orders_inbox_awaiting on orders_inbox (status)
where status = 'awaiting_shipment';
-- next
create index concurrently if not exists idx_orders_inbox_pending on orders_inbox (id) include (order_number)
where status = 'awaiting_shipment' and coalesce(shipstation_order_id, '') = '';
-- next
-- A number in its one normal form, however the shop wrote it.
create index concurrently if not exists idx_orders_inbox_key on orders_inbox (upper(btrim(order_number)));
-- next
create index concurrently if not exists idx_shipped_orders_key on shipped_orders (upper(btrim(order_number)));
-- next
set statement_timeout = '30s';
set lock_timeout = '2s';
reset client_min_messages;
-- next
-- 15 s for every statement in this database, as a default that a session may change. Who does not own the database can
-- only set it for themselves.
do $$
declare
    role_is_owner boolean;
    of_database   text;
    of_role       text;
begin
    select pg_catalog.pg_has_role(current_user, d.datdba, 'usage'),
           (select pg_catalog.split_part(c, '=', 2) from pg_catalog.pg_db_role_setting s, unnest(s.setconfig) as c
            where s.setdatabase = d.oid and s.setrole = 0 and c like 'statement\_timeout=%'),
           (select pg_catalog.split_part(c, '=', 2) from pg_catalog.pg_roles r
            join pg_catalog.pg_db_role_setting s on s.setrole = r.oid, unnest(s.setconfig) as c
            where s.setdatabase = d.oid and r.rolname = current_user and c like 'statement\_timeout=%')
    into role_is_owner, of_database, of_role
    from pg_catalog.pg_database d where d.datname = pg_catalog.current_database();

    if role_is_owner or of_database = '15s' then
        insert into listener.installed (file, object, existed, previous)
        values ('001_polling', 'statement_timeout of the database', of_database is not null, of_database)
        on conflict do nothing;
    else
        insert into listener.installed (file, object, existed, previous)
        values ('001_polling', 'statement_timeout of role ' || current_user, of_role is not null, of_role)
        on conflict do nothing;
    end if;

    if of_database is not distinct from '15s' then
        return;
    elsif role_is_owner then
        execute pg_catalog.format('alter database %I set statement_timeout = %L', pg_catalog.current_database(), '15s');
    else
        execute pg_catalog.format('alter role %I in database %I set statement_timeout = %L',
                                  current_user, pg_catalog.current_database(), '15s');
        raise notice 'role % does not own database %: statement_timeout = 15s is set for this role only; for all, let the owner run sql/001_polling.up.sql again',
            current_user, pg_catalog.current_database();
    end if;
end
$$;
-- next
reset lock_timeout;
reset statement_timeout;
reset search_path;
