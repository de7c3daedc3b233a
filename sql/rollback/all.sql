-- Emergency: everything that `listener install` made goes, with SQL alone. A running listener stays alive, says once what
-- is missing, and goes on by itself after sql/001, 002 and 003, or `listener install`, have run again.
--
-- Lost: what sql/002_ledger.down.sql and sql/001_polling.down.sql name in their headers: the listener's memory, and the
-- values of the flags that we added. Orders are not touched. It is sql/003_notify.down.sql, 002_ledger.down.sql and
-- 001_polling.down.sql in one file; psql -v ON_ERROR_STOP=1 stops where one of them does. Safe to run again.
set search_path = public;
set statement_timeout = '2min';
set lock_timeout = '200ms';
-- next
do $$
declare
    function_name text;
begin
    for function_name in
        select p.proname from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
        where n.nspname = 'listener'
          and p.proname in ('ring_for_inserted_orders', 'ring_for_updated_orders', 'tell_flags', 'tell_workflows')
    loop
        execute pg_catalog.format('create or replace function listener.%I() returns trigger language plpgsql as %L',
                                  function_name, 'begin return null; end');
    end loop;
end
$$;
-- next
do $$
declare
    tries constant integer := coalesce(nullif(pg_catalog.current_setting('listener.lock_tries', true), ''), '100');
    tables   regclass[];
    ringing  regclass;
    name     text;
    done     boolean;
    blockers text;
begin
    select pg_catalog.array_agg(distinct t.tgrelid::regclass) into tables
    from pg_catalog.pg_trigger t join pg_catalog.pg_proc p on p.oid = t.tgfoid
    join pg_catalog.pg_namespace n on n.oid = p.pronamespace
    where n.nspname = 'listener'
      and p.proname in ('ring_for_inserted_orders', 'ring_for_updated_orders', 'tell_flags', 'tell_workflows');

    foreach ringing in array coalesce(tables, '{}') loop
        for attempt in 1 .. tries loop
            begin
                for name in
                    select t.tgname from pg_catalog.pg_trigger t join pg_catalog.pg_proc p on p.oid = t.tgfoid
                    join pg_catalog.pg_namespace n on n.oid = p.pronamespace
                    where t.tgrelid = ringing and n.nspname = 'listener'
                loop
                    execute pg_catalog.format('drop trigger %I on %s', name, ringing);
                end loop;
                done := true;
            exception when lock_not_available then
                done := false;
                select pg_catalog.string_agg(distinct case when l.pid is null then 'a prepared transaction' else
                    pg_catalog.concat_ws(', ', 'pid ' || l.pid, 'user ' || a.usename,
                        'application ' || nullif(a.application_name, ''),
                        'for ' || pg_catalog.date_trunc('second', pg_catalog.clock_timestamp() - a.xact_start)) ||
                    coalesce(': ' || pg_catalog.left(pg_catalog.regexp_replace(pg_catalog.substring(
                        a.query, '^.*?(?=''|\$|\m[0-9]|$)'), '\s+', ' ', 'g'), 60), '') end, '; ')
                into blockers
                from pg_catalog.pg_locks l join pg_catalog.pg_database d on d.oid = l.database
                left join pg_catalog.pg_stat_activity a on a.pid = l.pid
                where l.locktype = 'relation' and l.relation = ringing and d.datname = pg_catalog.current_database();
            end;
            commit;
            exit when done;
            perform pg_catalog.pg_sleep(0.1);
        end loop;
        if not done then
            raise warning 'the bell is off, but its triggers still stand on table % and do nothing: no lock in % tries; in the way: %. Wait for that to end, or end it (select pg_terminate_backend(pid)), then run the same again',
                ringing, tries, coalesce(blockers, 'somebody who has left since');
        end if;
    end loop;
end
$$;
-- next
do $$
declare
    unused text;
begin
    for unused in
        select p.proname from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
        where n.nspname = 'listener'
          and p.proname in ('ring_for_inserted_orders', 'ring_for_updated_orders', 'tell_flags', 'tell_workflows')
          and not exists (select from pg_catalog.pg_trigger t where t.tgfoid = p.oid)
    loop
        execute pg_catalog.format('drop function listener.%I()', unused);
    end loop;
end
$$;
-- next
reset lock_timeout;
reset statement_timeout;
reset search_path;
set search_path = public;
set statement_timeout = '30s';
set lock_timeout = '2s';
set client_min_messages = warning;
-- next
do $$
declare
    ringing text;
begin
    select pg_catalog.string_agg(distinct t.tgrelid::pg_catalog.regclass::text, ', ') into ringing
    from pg_catalog.pg_trigger t join pg_catalog.pg_proc p on p.oid = t.tgfoid
    join pg_catalog.pg_namespace n on n.oid = p.pronamespace
    where n.nspname = 'listener'
      and p.proname in ('ring_for_inserted_orders', 'ring_for_updated_orders', 'tell_flags', 'tell_workflows');
    if ringing is not null then
        raise exception 'nothing is taken away while triggers of the listener stand on %: run sql/003_notify.down.sql first, and where it warns, do what it says and run it again', ringing;
    end if;
    -- In a schema that was there before us, tables are ours once sql/002_ledger.up.sql has found none of their names.
    if pg_catalog.to_regclass('listener.installed') is null then
        return;
    end if;
    if not exists (select from listener.installed
                   where object = 'schema listener' and not existed or file = '002_ledger') then
        return;
    end if;
    drop table if exists listener.links, listener.sync_failures, listener.sync_state;
    drop table if exists listener.imported_orders, listener.quarantine, listener.imports, listener.minutes,
        listener.config_log, listener.api_calls, listener.budget, listener.requeues, listener.conflicts,
        listener.mirror_state, listener.mirror, listener.history, listener.ledger, listener.home, listener.leader;
    drop function if exists listener.note_new_states(), listener.note_changed_states();
    delete from listener.installed where file = '002_ledger';
end
$$;
-- next
reset client_min_messages;
reset lock_timeout;
reset statement_timeout;
reset search_path;
set search_path = public;
set statement_timeout = '30s';
set lock_timeout = '2s';
-- next
do $$
declare
    noted record;
begin
    if pg_catalog.to_regclass('listener.installed') is null then
        return;
    end if;
    for noted in
        select object, previous,
               nullif(pg_catalog.split_part(object, 'statement_timeout of role ', 2), '') as role_name
        from listener.installed where file = '001_polling' and object like 'statement\_timeout of %'
    loop
        continue when noted.role_name is not null and pg_catalog.to_regrole(pg_catalog.quote_ident(noted.role_name)) is null;
        execute pg_catalog.format('alter %s %s',
            case when noted.role_name is null then pg_catalog.format('database %I', pg_catalog.current_database())
                 else pg_catalog.format('role %I in database %I', noted.role_name, pg_catalog.current_database()) end,
            case when noted.previous is null then 'reset statement_timeout'
                 else pg_catalog.format('set statement_timeout = %L', noted.previous) end);
    end loop;

    delete from public.configuration_params c using listener.installed i
    where i.file = '001_polling' and not i.existed and i.object = 'flag ' || c.parameter_name
      and c.category = 'Polling' and c.sku is null;

    delete from public.workflow_controls c using listener.installed i
    where i.file = '001_polling' and not i.existed and i.object = 'workflow ' || c.workflow_name;

    if exists (select from listener.installed
               where file = '001_polling' and not existed and object = 'table polling_state') then
        drop table if exists public.polling_state;
    elsif exists (select from listener.installed
                  where file = '001_polling' and not existed and object = 'row of polling_state') then
        delete from public.polling_state where id = 1;
    end if;
end
$$;
-- next
-- An index is dropped CONCURRENTLY, which no block allows: those that are ours get a name of their own first.
do $$
declare
    index_name text;
begin
    if pg_catalog.to_regclass('listener.installed') is null then
        return;
    end if;
    for index_name in
        select pg_catalog.split_part(object, ' ', 2) from listener.installed
        where file = '001_polling' and not existed and object like 'index %'
    loop
        if pg_catalog.to_regclass('public.' || index_name) is not null then
            execute pg_catalog.format('alter index public.%I rename to %I', index_name, 'listener_drop_' || index_name);
        end if;
    end loop;
end
$$;
-- next
set lock_timeout = 0;
set statement_timeout = 0;
set client_min_messages = warning;
-- next
drop index concurrently if exists listener_drop_idx_orders_inbox_awaiting;
-- next
drop index concurrently if exists listener_drop_idx_orders_inbox_pending;
-- next
drop index concurrently if exists listener_drop_idx_orders_inbox_key;
-- next
drop index concurrently if exists listener_drop_idx_shipped_orders_key;
-- next
set statement_timeout = '30s';
set lock_timeout = '2s';
reset client_min_messages;
-- next
do $$
declare
    schema_was_there boolean;
    leftovers        text;
begin
    if pg_catalog.to_regclass('listener.installed') is null then
        return;
    end if;
    select existed into schema_was_there from listener.installed
    where file = '001_polling' and object = 'schema listener';
    select pg_catalog.string_agg(name, ', ') into leftovers from (
        select 'what sql/002_ledger.up.sql made' from listener.installed where file = '002_ledger'
        union all
        select c.relname::text from pg_catalog.pg_class c
        where c.relnamespace = 'listener'::pg_catalog.regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
          and c.relname <> 'installed' and not schema_was_there
        union all
        select p.proname::text from pg_catalog.pg_proc p
        where p.pronamespace = 'listener'::pg_catalog.regnamespace and not schema_was_there
    ) as o (name);
    if leftovers is not null then
        raise warning 'schema listener stays, since it is not empty (%): run sql/003_notify.down.sql and sql/002_ledger.down.sql, then this file again', leftovers;
        return;
    end if;
    drop table listener.installed;
    if not schema_was_there then
        drop schema listener;
    end if;
end
$$;
-- next
reset lock_timeout;
reset statement_timeout;
reset search_path;
