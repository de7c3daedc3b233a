-- Emergency: the bell off, now, with SQL alone. A running listener goes on with its heartbeat; the rest of what was
-- installed stays. Its reverse: sql/003_notify.up.sql, or `listener install`.
--
-- No data is lost. First the functions are emptied, which is in force at once and needs no lock on a table; then the
-- triggers are dropped, tried for 200 ms at a time, table by table, `listener.lock_tries` (100 unless set) times over.
-- Where that fails, a warning says what is left. sql/003_notify.down.sql does the same. Safe to run again.
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
