-- A role that can do what the listener does, and no more: listener_worker. It cannot log in; it is granted to a role
-- that can, whose name and password are yours to choose:
--
--   create role NAME login password 'PASSWORD' in role listener_worker;
--
-- `listener run` and the commands that read, `requeue`, `pause` and `resume` work with it. `install`, `uninstall`,
-- `rollback` and changes of flags stay with the owner of the shop's tables, who runs this file, after sql/002_ledger.up.sql.
-- The role belongs to the whole cluster, what it may do to this database. Its reverse: sql/roles.down.sql. Safe to run
-- again, and to be run again after an upgrade; sql/002_ledger.up.sql by itself lets it in to new tables of schema listener.
--
-- Before PostgreSQL 15 everybody may create tables in schema public: revoke create on schema public from public.
set search_path = pg_catalog;
set statement_timeout = '30s';
set lock_timeout = '2s';
-- next
do $$
declare
    others text;
begin
    if not exists (select from pg_class where relnamespace = to_regnamespace('listener') and relname = 'installed') then
        raise exception 'schema listener is missing: run sql/001_polling.up.sql, 002 and 003 first, or `listener install`';
    end if;
    select string_agg(oid::regclass::text, ', ') into others from pg_class
    where relkind = 'r' and not pg_has_role(relowner, 'usage')
      and (relnamespace = 'listener'::regnamespace
           or relnamespace = 'public'::regnamespace
              and relname in ('orders_inbox', 'order_items_inbox', 'configuration_params', 'workflow_controls',
                              'polling_state', 'sync_watermark', 'shipped_orders', 'shipped_items',
                              'shipstation_order_line_items', 'bundle_skus', 'bundle_components', 'sku_lot'));
    if others is not null then
        raise exception 'role % does not own %: run this as the owner of the shop''s tables', current_user, others;
    end if;
    if to_regrole('listener_worker') is null then
        begin
            create role listener_worker nologin;
        exception
            when insufficient_privilege then
                raise exception 'there is no role listener_worker yet, and % may not create one: have it made (create role listener_worker nologin), then run this again', current_user;
            when duplicate_object or unique_violation then
                null; -- somebody else has made it just now
        end;
    end if;
end
$$;
-- next
-- The listener's own tables, but for the note of what was there before it: that one decides what an uninstall takes away.
grant usage on schema listener to listener_worker;
grant select, insert, update, delete on all tables in schema listener to listener_worker;
revoke insert, update, delete on listener.installed from listener_worker;
-- next
-- What is only read: products and flags.
grant select on public.configuration_params, public.bundle_skus, public.bundle_components, public.sku_lot
    to listener_worker;
-- Orders come in by import and sync, and show what has become of them. No order is deleted, no address or price changed.
grant select, insert, update (status, shipstation_order_id, failure_reason, updated_at, total_items, tracking_number,
                              shipping_carrier_code, shipping_carrier_id, shipping_service_code, shipping_service_name)
    on public.orders_inbox to listener_worker;
grant select, insert, delete, update (sku_lot, quantity, unit_price_cents) on public.order_items_inbox to listener_worker;
grant select, insert on public.shipstation_order_line_items to listener_worker;
-- What has been shipped, and up to where that was read.
grant select, insert, update, delete on public.shipped_orders, public.shipped_items to listener_worker;
grant select, insert, update on public.sync_watermark to listener_worker;
-- What the listener is doing; `listener pause` and `resume`.
grant select, update (last_upload_count, last_upload_check, last_xml_count, last_xml_check)
    on public.polling_state to listener_worker;
grant select, update (enabled, last_updated, updated_by, last_run_at) on public.workflow_controls to listener_worker;
-- next
-- Numbers for new rows, whatever the sequences are called here.
do $$
declare
    owned text;
begin
    for owned in
        select pg_get_serial_sequence(t.name, a.attname)
        from unnest(array['public.orders_inbox', 'public.order_items_inbox', 'public.shipstation_order_line_items',
                          'public.shipped_orders', 'public.shipped_items', 'public.sync_watermark']) as t (name)
        join pg_attribute a on a.attrelid = t.name::regclass and a.attnum > 0 and not a.attisdropped
        where pg_get_serial_sequence(t.name, a.attname) is not null
    loop
        execute format('grant usage on sequence %s to listener_worker', owned);
    end loop;
end
$$;
-- next
reset lock_timeout;
reset statement_timeout;
reset search_path;
