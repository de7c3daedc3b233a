-- Looks whether everything that sql/001, 002 and 003 make is there and in force; changes nothing. Says 'ok', or fails
-- with one error that names all that is missing. `listener verify` shows the same checks a line each.
--
-- The checks are gathered in the setting `listener.verify` of this session, as JSON: [{check, ok, todo}, ...].
-- statement_timeout is looked at as the session got it (reset_val), whatever was SET since.
set search_path = public;
set statement_timeout = '30s';
set lock_timeout = '2s';
-- next
do $$
declare
    checks         jsonb;
    tables         text;
    columns        text;
    state_rows     bigint := 0;
    ledger_tables  text;
    ledger_columns text;
    ledger_rows    boolean := false;
    flags          text;
    flags_missing  text := 'all of them';
    workflows      text := 'all of them';
    triggers       text;
    altered        text;
    keyless        text;
    timeout        text;
begin
    select string_agg(name, ', ') into tables
    from unnest(array['orders_inbox', 'order_items_inbox', 'configuration_params', 'workflow_controls',
                      'sync_watermark', 'shipped_orders', 'shipped_items', 'shipstation_order_line_items',
                      'bundle_skus', 'bundle_components', 'sku_lot']) as t (name)
    where to_regclass('public.' || name) is null;

    select string_agg(name, ', ') into columns
    from unnest(array['id', 'last_upload_count', 'last_upload_check', 'last_xml_count', 'last_xml_check']) as t (name)
    where not exists (select from pg_attribute
                      where attrelid = to_regclass('public.polling_state') and attname = name and not attisdropped);
    if to_regclass('public.polling_state') is not null then
        select count(*) into state_rows from public.polling_state;
    end if;

    if to_regclass('public.configuration_params') is not null then
        select string_agg(c.parameter_name || '=' || c.value, ' ' order by c.parameter_name)
                   filter (where wanted.name in ('fast_polling_enabled', 'fast_polling_interval', 'sync_interval')),
               string_agg(wanted.name, ', ') filter (where c.id is null)
        into flags, flags_missing
        from unnest(array['fast_polling_enabled', 'fast_polling_interval', 'sync_interval', 'notify_enabled',
                          'api_calls_per_hour', 'upload_batch_size', 'max_upload_attempts', 'max_order_age_days',
                          'manual_order_pattern', 'idle_policy', 'idle_after']) as wanted (name)
        left join public.configuration_params c
            on c.category = 'Polling' and c.parameter_name = wanted.name and c.sku is null;
    end if;
    if to_regclass('public.workflow_controls') is not null then
        select string_agg(name, ', ') into workflows
        from unnest(array['shipstation-upload', 'xml-import', 'unified-shipstation-sync']) as t (name)
        where not exists (select from public.workflow_controls where workflow_name = name);
    end if;

    select string_agg(name, ', ') into ledger_tables
    from unnest(array['leader', 'home', 'ledger', 'history', 'mirror', 'mirror_state', 'conflicts', 'links',
                      'sync_failures', 'sync_state', 'requeues', 'budget', 'api_calls', 'config_log', 'minutes',
                      'imports', 'quarantine', 'imported_orders']) as t (name)
    where to_regclass('listener.' || name) is null;
    -- Columns that came after the first state of sql/002_ledger.up.sql: who runs it again gets them.
    select string_agg('column ' || ours.column_name || ' of ' || ours.name, ', ') into ledger_columns
    from (values ('ledger', 'doubt'), ('ledger', 'batch_limit'), ('ledger', 'again'), ('ledger', 'requeued_at'),
                 ('ledger', 'owner'), ('leader', 'host'), ('leader', 'process_id')) as ours (name, column_name)
    join pg_class c on c.oid = to_regclass('listener.' || ours.name)
    where not exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = ours.column_name);
    if ledger_tables is null then
        select (select count(*) from listener.leader) = 1 and (select count(*) from listener.budget) = 1
           and (select count(*) from listener.mirror_state) = 1
        into ledger_rows;
    end if;

    select string_agg(wanted.name, ', ') into triggers
    from (values ('listener_orders_inserted', 'orders_inbox', 'ring_for_inserted_orders'),
                 ('listener_orders_updated', 'orders_inbox', 'ring_for_updated_orders'),
                 ('listener_flags_inserted', 'configuration_params', 'tell_flags'),
                 ('listener_flags_changed', 'configuration_params', 'tell_flags'),
                 ('listener_flags_deleted', 'configuration_params', 'tell_flags'),
                 ('listener_workflows_inserted', 'workflow_controls', 'tell_workflows'),
                 ('listener_workflows_changed', 'workflow_controls', 'tell_workflows'),
                 ('listener_workflows_deleted', 'workflow_controls', 'tell_workflows')
         ) as wanted (name, on_table, function)
    where not exists (
        select from pg_trigger t
        join pg_proc p on p.oid = t.tgfoid join pg_namespace n on n.oid = p.pronamespace
        where t.tgname = wanted.name and t.tgrelid = to_regclass('public.' || wanted.on_table)
          and t.tgenabled = 'O' and n.nspname = 'listener' and p.proname = wanted.function);

    -- The fingerprints of the four bodies in sql/003_notify.up.sql: a body that was emptied or edited is seen.
    select string_agg(wanted.name, ', ') filter (where md5(p.prosrc) is distinct from wanted.fingerprint),
           string_agg(wanted.name, ', ') filter (where wanted.name like 'ring%' and (
               position('pg_try_advisory_lock_shared(1818850164, 1)' in p.prosrc) > 0
               and position('pg_try_advisory_lock_shared(1818850164, 2)' in p.prosrc) > 0) is not true)
    into altered, keyless
    from (values ('ring_for_inserted_orders', 'dc0414e04cd93077e79f97f5f2726cb0'),
                 ('ring_for_updated_orders', 'd0c8c70c502f9b0b204147efc3149ac4'),
                 ('tell_flags', '0ba968a428431fb1fc81179365964455'),
                 ('tell_workflows', '111e84e9313813e722ab008b088511e7')) as wanted (name, fingerprint)
    left join (pg_proc p join pg_namespace n on n.oid = p.pronamespace and n.nspname = 'listener')
        on p.proname = wanted.name;

    select reset_val into timeout from pg_settings where name = 'statement_timeout';

    select jsonb_agg(jsonb_build_object('check', c.name, 'ok', c.ok,
                                       'todo', case when not c.ok then c.todo end)) into checks
    from (values
        ('the shop''s tables are there', tables is null,
         format('missing: %s; run sql/base_tables.sql or `listener install --base-tables`', tables)),
        ('polling_state has its five columns', columns is null,
         format('missing: %s; run sql/001_polling.up.sql or `listener install`', columns)),
        ('polling_state has exactly one row', state_rows = 1,
         format('it has %s; run sql/001_polling.up.sql or `listener install`, and delete rows but that of id 1',
                state_rows)),
        ('index idx_orders_inbox_awaiting is there, valid, where status = ''awaiting_shipment''',
         exists (select from pg_index i
                 where i.indexrelid = to_regclass('public.idx_orders_inbox_awaiting') and i.indisvalid
                   and i.indrelid = to_regclass('public.orders_inbox')
                   and pg_get_expr(i.indpred, i.indrelid) = '(status = ''awaiting_shipment''::text)'),
         'run sql/001_polling.up.sql or `listener install`; if an index of that name has another condition, first drop index concurrently idx_orders_inbox_awaiting'),
        ('index idx_orders_inbox_pending is there, valid, on orders without a ShipStation id',
         exists (select from pg_index i
                 where i.indexrelid = to_regclass('public.idx_orders_inbox_pending') and i.indisvalid
                   and i.indrelid = to_regclass('public.orders_inbox')
                   and pg_get_expr(i.indpred, i.indrelid) = '((status = ''awaiting_shipment''::text) AND (COALESCE(shipstation_order_id, ''''::text) = ''''::text))'),
         'run sql/001_polling.up.sql or `listener install`; if an index of that name has another condition, first drop index concurrently idx_orders_inbox_pending'),
        ('index idx_orders_inbox_key is there, valid, on the normal form of orders'' numbers',
         exists (select from pg_index i
                 where i.indexrelid = to_regclass('public.idx_orders_inbox_key') and i.indisvalid
                   and i.indrelid = to_regclass('public.orders_inbox') and i.indpred is null
                   and pg_get_expr(i.indexprs, i.indrelid) = 'upper(btrim(order_number))'),
         'run sql/001_polling.up.sql or `listener install`; if an index of that name has another expression, first drop index concurrently idx_orders_inbox_key'),
        ('index idx_shipped_orders_key is there, valid, on the normal form of shipped orders'' numbers',
         exists (select from pg_index i
                 where i.indexrelid = to_regclass('public.idx_shipped_orders_key') and i.indisvalid
                   and i.indrelid = to_regclass('public.shipped_orders') and i.indpred is null
                   and pg_get_expr(i.indexprs, i.indrelid) = 'upper(btrim(order_number))'),
         'run sql/001_polling.up.sql or `listener install`; if an index of that name has another expression, first drop index concurrently idx_shipped_orders_key'),
        (format('the flags are there%s', ': ' || flags), flags_missing is null,
         format('missing in configuration_params, category Polling, sku NULL: %s; run sql/001_polling.up.sql or `listener install`', flags_missing)),
        ('the workflows are there', workflows is null,
         format('missing in workflow_controls: %s; run sql/001_polling.up.sql or `listener install`', workflows)),
        ('statement_timeout is 15s', timeout = '15000',
         format('a new session gets %s; run sql/001_polling.up.sql as the owner of the database, and look for a setting of your own role: select * from pg_db_role_setting',
                case timeout when '0' then 'none' else timeout || ' ms' end)),
        ('the listener''s own tables are there', ledger_tables is null and ledger_columns is null and ledger_rows,
         format('missing: %s; run sql/002_ledger.up.sql or `listener install`',
                coalesce(nullif(concat_ws(', ', ledger_tables, ledger_columns), ''),
                         'the one row of leader, budget or mirror_state'))),
        ('the triggers are there and enabled', triggers is null,
         format('missing or disabled: %s; run sql/003_notify.up.sql or `listener install`', triggers)),
        ('the trigger functions are as they were installed', altered is null,
         format('missing or altered: %s; run sql/003_notify.up.sql or `listener install`', altered)),
        ('the triggers ask for the locks of this listener (1818850164: 1, 2)', keyless is null,
         format('they do not in %s; run sql/003_notify.up.sql or `listener install`', keyless))
    ) as c (name, ok, todo);
    perform set_config('listener.verify', checks::text, false);
end
$$;
-- next
do $$
declare
    faults text;
begin
    select string_agg((c ->> 'check') || ': NO. ' || (c ->> 'todo'), E'\n') into faults
    from jsonb_array_elements(current_setting('listener.verify')::jsonb) as c where not (c ->> 'ok')::boolean;
    if faults is not null then
        raise exception E'not as it should be:\n%', faults;
    end if;
    raise notice 'ok';
end
$$;
-- next
reset listener.verify;
reset lock_timeout;
reset statement_timeout;
reset search_path;
