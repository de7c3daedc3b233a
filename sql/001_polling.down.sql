-- Takes back what 001_polling.up.sql added, as listener.installed remembers it: what was there before stays.
--
-- Lost: the values of the flags that we added, the switches of the workflows that we added, polling_state when we made
-- it, and listener.installed itself. Orders are not touched.
-- Without listener.installed nothing is taken for ours. Safe to run again.
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
