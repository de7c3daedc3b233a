-- Takes the listener's own memory away.
--
-- Lost: the ledger and its history (what was sent and when, orders held back, attempts counted), the journal of API
-- calls and the budget, the receipts of flag changes, the figures of each minute, the mirror of ShipStation's orders,
-- and which files and order numbers were imported. Orders are not touched: one that ShipStation has, has its id in
-- orders_inbox. An order in flight at this moment is looked up at ShipStation by nobody any more, so let the listener
-- come to rest first.
-- Safe to run again.
set search_path = public;
set statement_timeout = '30s';
set lock_timeout = '5s';
set client_min_messages = warning;
-- next
do $$
begin
    if pg_catalog.to_regnamespace('listener') is null then
        return;
    end if;
    drop table if exists listener.imported_orders, listener.quarantine, listener.imports, listener.minutes,
        listener.config_log, listener.api_calls, listener.budget, listener.requeues, listener.conflicts,
        listener.mirror_state, listener.mirror, listener.history, listener.ledger, listener.home, listener.leader;
    drop function if exists listener.note_new_states(), listener.note_changed_states();
end
$$;
-- next
reset client_min_messages;
reset lock_timeout;
reset statement_timeout;
reset search_path;
