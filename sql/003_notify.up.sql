-- The bell: triggers that tell the listener of a pending order, of a changed flag, of a workflow switched on or off.
--
-- A trigger must not be able to fail its writer. So: it reads no table but the statement's own rows, sends nothing when
-- the queue is nearly full (a full one fails the COMMIT), and its payloads have a size that is known beforehand. There
-- is no EXCEPTION block: every writer would pay for a subtransaction, and it could not catch a failing COMMIT anyway.
-- It calls nothing in schema listener either, on which a writer needs no rights. The functions run with the writer's
-- rights and search_path, so each function, operator and type is written with its schema; EXCEPT, UNION and DISTINCT
-- take the type's own equality, and transition tables are found before any table.
--
-- CREATE TRIGGER locks writers out. It is tried for 200 ms at a time, table by table, each in its own transaction, and
-- `listener.lock_tries` (100 unless set) times over. Safe to run again: a trigger that stands as wanted is not touched.
set search_path = public;
set statement_timeout = '2min';
set lock_timeout = '200ms';
-- next
do $$
declare
    others text;
begin
    if pg_catalog.to_regclass('listener.installed') is null then
        raise exception 'schema listener is missing: run sql/001_polling.up.sql first, or `listener install`';
    end if;
    select pg_catalog.string_agg(pg_catalog.format('listener.%s() of role %s', p.proname,
                                                   p.proowner::pg_catalog.regrole), ', ') into others
    from pg_catalog.pg_proc p where p.pronamespace = 'listener'::pg_catalog.regnamespace
      and p.proname in ('ring_for_inserted_orders', 'ring_for_updated_orders', 'tell_flags', 'tell_workflows')
      and not pg_catalog.pg_has_role(p.proowner, 'usage');
    if others is not null then
        raise exception 'something else is in the way: %; rename it, then run this again', others;
    end if;
end
$$;
-- next
-- Orders. The questions stand in this order, so that a writer who stays silent pays least:
--   1. Has the writer opted out? (Who must PREPARE TRANSACTION does: that fails after a NOTIFY.)
--   2. The silence lock: refused means that the listener is awake and will look again.
--   3. The leader's lock: obtained means that nobody is there to hear.
--   4. Is there a pending order among the rows?  5. Is there room in the queue?
-- A lock is taken and given back in one expression. Between two statements a writer that is cancelled would keep it,
-- and nobody would ever give it back. The keys are those of listener/locks.py; `listener verify` compares them.
create or replace function listener.ring_for_inserted_orders() returns trigger language plpgsql as $$
begin
    if pg_catalog.current_setting('listener.bell', true) operator(pg_catalog.=) 'off' then
        return null;
    end if;
    if not (case when pg_catalog.pg_try_advisory_lock_shared(1818850164, 1)
                 then pg_catalog.pg_advisory_unlock_shared(1818850164, 1) else false end) then
        return null;
    end if;
    if (case when pg_catalog.pg_try_advisory_lock_shared(1818850164, 2)
             then pg_catalog.pg_advisory_unlock_shared(1818850164, 2) else false end) then
        return null;
    end if;
    if exists (select from new_rows where status operator(pg_catalog.=) 'awaiting_shipment'
                                      and coalesce(shipstation_order_id, '') operator(pg_catalog.=) '')
       and pg_catalog.pg_notification_queue_usage() operator(pg_catalog.<) 0.9 then
        notify orders_inbox;
    end if;
    return null;
end
$$;
-- next
-- The same for orders that become pending: those that are it now, less those that were it before under the same number
-- (the ledger holds an order by its number: under another one it may be due at once). EXCEPT and not a join, because a
-- session plans this once, perhaps for a single row, and must still get through an UPDATE of them all.
create or replace function listener.ring_for_updated_orders() returns trigger language plpgsql as $$
begin
    if pg_catalog.current_setting('listener.bell', true) operator(pg_catalog.=) 'off' then
        return null;
    end if;
    if not (case when pg_catalog.pg_try_advisory_lock_shared(1818850164, 1)
                 then pg_catalog.pg_advisory_unlock_shared(1818850164, 1) else false end) then
        return null;
    end if;
    if (case when pg_catalog.pg_try_advisory_lock_shared(1818850164, 2)
             then pg_catalog.pg_advisory_unlock_shared(1818850164, 2) else false end) then
        return null;
    end if;
    if not exists (select from new_rows where status operator(pg_catalog.=) 'awaiting_shipment'
                                          and coalesce(shipstation_order_id, '') operator(pg_catalog.=) '') then
        return null;
    end if;
    if exists (select id, order_number from new_rows
               where status operator(pg_catalog.=) 'awaiting_shipment'
                 and coalesce(shipstation_order_id, '') operator(pg_catalog.=) ''
               except
               select id, order_number from old_rows
               where status operator(pg_catalog.=) 'awaiting_shipment'
                 and coalesce(shipstation_order_id, '') operator(pg_catalog.=) '')
       and pg_catalog.pg_notification_queue_usage() operator(pg_catalog.<) 0.9 then
        notify orders_inbox;
    end if;
    return null;
end
$$;
-- next
-- Flags and switches ring whether or not anyone is awake: they change rarely, and count in the middle of an upload too.
-- The payload names the key, never a value. JSON writes a character in at most 6 bytes; a name that would make 200
-- bytes is cut to 25 characters. More than 20 names in one statement are not all told: any payload means "read again".
create or replace function listener.tell_flags() returns trigger language plpgsql as $$
declare
    names pg_catalog.text[];
begin
    if pg_catalog.pg_notification_queue_usage() operator(pg_catalog.>=) 0.9 then
        return null;
    end if;
    if tg_op operator(pg_catalog.=) 'INSERT' then
        names := array(select distinct parameter_name from new_rows
                       where category operator(pg_catalog.=) 'Polling' limit 20);
    elsif tg_op operator(pg_catalog.=) 'DELETE' then
        names := array(select distinct parameter_name from old_rows
                       where category operator(pg_catalog.=) 'Polling' limit 20);
    else
        names := array(select parameter_name from new_rows where category operator(pg_catalog.=) 'Polling'
                       union
                       select parameter_name from old_rows where category operator(pg_catalog.=) 'Polling' limit 20);
    end if;
    perform pg_catalog.pg_notify('configuration_params',
        case when pg_catalog.octet_length(payload) operator(pg_catalog.<) 200 then payload
             else pg_catalog.json_build_object('parameter_name', pg_catalog.left(name, 25))::pg_catalog.text end)
    from (select name, pg_catalog.json_build_object('parameter_name', name)::pg_catalog.text as payload
          from pg_catalog.unnest(names) as touched (name)) as touched;
    return null;
end
$$;
-- next
-- An UPDATE counts only when `enabled` differs: every run of a workflow moves last_run_at.
create or replace function listener.tell_workflows() returns trigger language plpgsql as $$
declare
    names pg_catalog.text[];
begin
    if pg_catalog.pg_notification_queue_usage() operator(pg_catalog.>=) 0.9 then
        return null;
    end if;
    if tg_op operator(pg_catalog.=) 'INSERT' then
        names := array(select workflow_name from new_rows limit 20);
    elsif tg_op operator(pg_catalog.=) 'DELETE' then
        names := array(select workflow_name from old_rows limit 20);
    else
        names := array(select distinct changed.workflow_name from (
            (select workflow_name, enabled from new_rows except select workflow_name, enabled from old_rows)
            union all
            (select workflow_name, enabled from old_rows except select workflow_name, enabled from new_rows)
        ) as changed limit 20);
    end if;
    perform pg_catalog.pg_notify('workflow_controls',
        case when pg_catalog.octet_length(payload) operator(pg_catalog.<) 200 then payload
             else pg_catalog.json_build_object('workflow_name', pg_catalog.left(name, 25))::pg_catalog.text end)
    from (select name, pg_catalog.json_build_object('workflow_name', name)::pg_catalog.text as payload
          from pg_catalog.unnest(names) as touched (name)) as touched;
    return null;
end
$$;
-- next
-- The definitions are written as pg_get_triggerdef() shows them, so that "stands as wanted" is one comparison.
do $$
declare
    definitions constant text[] := array[
        'CREATE TRIGGER listener_orders_inserted AFTER INSERT ON public.orders_inbox REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION listener.ring_for_inserted_orders()',
        'CREATE TRIGGER listener_orders_updated AFTER UPDATE ON public.orders_inbox REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION listener.ring_for_updated_orders()',
        'CREATE TRIGGER listener_flags_inserted AFTER INSERT ON public.configuration_params REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION listener.tell_flags()',
        'CREATE TRIGGER listener_flags_changed AFTER UPDATE ON public.configuration_params REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION listener.tell_flags()',
        'CREATE TRIGGER listener_flags_deleted AFTER DELETE ON public.configuration_params REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION listener.tell_flags()',
        'CREATE TRIGGER listener_workflows_inserted AFTER INSERT ON public.workflow_controls REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION listener.tell_workflows()',
        'CREATE TRIGGER listener_workflows_changed AFTER UPDATE ON public.workflow_controls REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION listener.tell_workflows()',
        'CREATE TRIGGER listener_workflows_deleted AFTER DELETE ON public.workflow_controls REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION listener.tell_workflows()'];
    tries constant integer := coalesce(nullif(pg_catalog.current_setting('listener.lock_tries', true), ''), '100');
    table_name text;
    definition text;
    name       text;
    replaces   boolean; -- a trigger of that name, which is another: dropping it must wait for readers too
    done       boolean;
    blockers   text;
begin
    foreach table_name in array array['orders_inbox', 'configuration_params', 'workflow_controls'] loop
        for attempt in 1 .. tries loop
            begin
                for definition in
                    select d from unnest(definitions) as d
                    where d like '% ON public.' || table_name || ' %'
                      and not exists (select from pg_catalog.pg_trigger t
                                      where t.tgrelid = ('public.' || table_name)::regclass and t.tgenabled = 'O'
                                        and pg_catalog.pg_get_triggerdef(t.oid) = d)
                loop
                    name := pg_catalog.split_part(definition, ' ', 3);
                    replaces := exists (select from pg_catalog.pg_trigger t
                                        where t.tgrelid = ('public.' || table_name)::regclass and t.tgname = name);
                    if replaces then
                        execute pg_catalog.format('drop trigger %I on public.%I', name, table_name);
                    end if;
                    execute definition;
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
                where l.locktype = 'relation' and l.relation = ('public.' || table_name)::regclass
                  and d.datname = pg_catalog.current_database()
                  and (replaces or l.mode not in ('AccessShareLock', 'RowShareLock'));
            end;
            commit;
            exit when done;
            perform pg_catalog.pg_sleep(0.1);
        end loop;
        if not done then
            raise exception 'no lock on table % in % tries; in the way: %. Wait for that to end, or end it (select pg_terminate_backend(pid)), then run sql/003_notify.up.sql again',
                table_name, tries, coalesce(blockers, 'somebody who has left since');
        end if;
    end loop;
end
$$;
-- next
-- Orders that came while there was no trigger are looked for now.
notify orders_inbox;
-- next
reset lock_timeout;
reset statement_timeout;
reset search_path;
