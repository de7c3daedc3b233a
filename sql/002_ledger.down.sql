-- Takes the listener's own memory away.
--
-- Lost: the ledger and its history (what was sent and when, orders held back, attempts counted), the journal of API
-- calls and the budget, the receipts of flag changes, the figures of each minute, the mirror of ShipStation's orders,
-- which files and order numbers were imported, and what the sync could not take over yet (its watermark stays in
-- sync_watermark). Orders are not touched: one that ShipStation has, has its id in orders_inbox. An order in flight at
-- this moment is looked up at ShipStation by nobody any more, so let the listener come to rest first. Before it:
-- sql/003_notify.down.sql. Safe to run again.
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
