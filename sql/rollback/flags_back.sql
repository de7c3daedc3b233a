-- The reverse of sql/rollback/flags.sql: the three flags as they were, and in force at once.
--
-- What somebody has set to another value since then stays. Where nothing is noted in listener.installed and fast polling
-- is off, the defaults come back: true, 15 and 120. Safe to run again.
set search_path = public;
set statement_timeout = '15s';
set lock_timeout = '2s';
-- next
do $$
declare
    slow constant jsonb := '{"fast_polling_enabled": "false", "fast_polling_interval": "300", "sync_interval": "300"}';
    before        jsonb; -- null for a flag that had no row
begin
    begin
        select jsonb_object_agg(object, previous) into before from listener.installed where file = 'rollback/flags';
        delete from listener.installed where file = 'rollback/flags';
    exception when undefined_table or invalid_schema_name or insufficient_privilege then
        null; -- as if nothing was noted
    end;
    if before is null and exists (
        select from configuration_params
        where category = 'Polling' and parameter_name = 'fast_polling_enabled' and sku is null and value = 'false') then
        before := '{"fast_polling_enabled": "true", "fast_polling_interval": "15", "sync_interval": "120"}';
    end if;

    delete from configuration_params c using jsonb_each_text(before) as b (name, value)
    where c.category = 'Polling' and c.parameter_name = b.name and c.sku is null and b.value is null
      and c.value = slow ->> b.name;

    update configuration_params c set value = b.value
    from jsonb_each_text(before) as b (name, value)
    where c.category = 'Polling' and c.parameter_name = b.name and c.sku is null and b.value is not null
      and c.value = slow ->> b.name;
end
$$;
-- next
reset lock_timeout;
reset statement_timeout;
reset search_path;
