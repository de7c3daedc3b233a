-- Takes back what sql/roles.sql gave role listener_worker in this database, and the role itself, unless somebody is a
-- member of it or another database knows it. A listener that runs under it can do nothing any more. No data is lost.
-- Safe to run again.
set search_path = pg_catalog;
set statement_timeout = '30s';
set lock_timeout = '2s';
-- next
do $$
declare
    granted record;
    members text;
begin
    if to_regrole('listener_worker') is null then
        return;
    end if;
    for granted in
        select distinct case when c.relkind = 'S' then 'sequence' else 'table' end as kind, c.oid::regclass as name
        from pg_class c left join pg_attribute a on a.attrelid = c.oid,
             lateral (select grantee from aclexplode(c.relacl) union all select grantee from aclexplode(a.attacl)) acl
        where c.relnamespace in (to_regnamespace('public'), to_regnamespace('listener'))
          and acl.grantee = to_regrole('listener_worker')
    loop
        execute format('revoke all on %s %s from listener_worker', granted.kind, granted.name);
    end loop;
    if to_regnamespace('listener') is not null then
        revoke all on schema listener from listener_worker;
    end if;

    select string_agg(member::regrole::text, ', ') into members from pg_auth_members
    where roleid = to_regrole('listener_worker') and member <> current_user::regrole;
    if members is not null then
        raise notice 'role listener_worker stays, since it is granted to %: drop role listener_worker when they are gone', members;
        return;
    end if;
    begin
        drop role listener_worker;
    exception when dependent_objects_still_exist or insufficient_privilege then
        raise notice 'role listener_worker stays (%): drop it when no other database of this server knows it', sqlerrm;
    end;
end
$$;
-- next
reset lock_timeout;
reset statement_timeout;
reset search_path;
