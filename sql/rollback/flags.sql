-- Emergency: back to the slow old ways, now, with SQL alone. No bell and no quick checks; upload, import and sync run
-- every 300 seconds. A running listener takes it up at once (within one old interval when its triggers are gone).
--
-- No data is lost: listener.installed keeps the values that stood here, for sql/rollback/flags_back.sql, the reverse.
-- It works without schema listener too; then the reverse brings the defaults back. Safe to run again.
set search_path = public;
set statement_timeout = '15s';
set lock_timeout = '2s';
-- next
do $$
declare
    slow constant jsonb := '{"fast_polling_enabled": "false", "fast_polling_interval": "300", "sync_interval": "300"}';
begin
    begin
        insert into listener.installed (file, object, existed, previous)
        select distinct on (name) 'rollback/flags', name, c.id is not null, c.value
        from jsonb_each_text(slow) as s (name, value) left join configuration_params c
            on c.category = 'Polling' and c.parameter_name = name and c.sku is null
        where c.value is distinct from s.value
        order by name, c.id desc
        on conflict (file, object) do update set existed = excluded.existed, previous = excluded.previous;
    exception when undefined_table or invalid_schema_name or insufficient_privilege then
        null; -- the values matter more than the note
    end;

    update configuration_params c set value = s.value
    from jsonb_each_text(slow) as s (name, value)
    where c.category = 'Polling' and c.parameter_name = s.name and c.sku is null and c.value <> s.value;

    insert into configuration_params (category, parameter_name, value, sku)
    select 'Polling', s.name, s.value, null from jsonb_each_text(slow) as s (name, value)
    where not exists (select from configuration_params c
                      where c.category = 'Polling' and c.parameter_name = s.name and c.sku is null);
end
$$;
-- next
reset lock_timeout;
reset statement_timeout;
reset search_path;
