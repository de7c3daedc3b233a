-- Emergency: back to the slow old ways, now, with SQL alone. No bell and no quick checks; upload, import and sync run
-- every 300 seconds. A running listener takes it up at once (within one old interval when its triggers are gone).
--
-- No data is lost but the three values that stood here. The reverse:
--   update configuration_params set value = 'true'
--   where category = 'Polling' and parameter_name = 'fast_polling_enabled' and sku is null;
--   update configuration_params set value = '15'
--   where category = 'Polling' and parameter_name = 'fast_polling_interval' and sku is null;
--   update configuration_params set value = '120'
--   where category = 'Polling' and parameter_name = 'sync_interval' and sku is null;
-- Safe to run again.
set search_path = public;
set statement_timeout = '15s';
set lock_timeout = '2s';
-- next
with slow (name, value) as (
    values ('fast_polling_enabled', 'false'), ('fast_polling_interval', '300'), ('sync_interval', '300')
), changed as (
    update configuration_params c set value = slow.value
    from slow where c.category = 'Polling' and c.parameter_name = slow.name and c.sku is null
    returning c.parameter_name
)
insert into configuration_params (category, parameter_name, value, sku)
select 'Polling', name, value, null from slow where name not in (select parameter_name from changed);
-- next
reset lock_timeout;
reset statement_timeout;
reset search_path;
