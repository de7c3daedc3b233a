-- The listener's own memory, in schema listener: who leads, what was tried at ShipStation and what became of it, what
-- ShipStation is known to have, the budget of API calls and their journal, the changes of flags, the figures of each
-- minute, the files that were imported, and, for the sync, which row shows which of ShipStation's orders and what could
-- not be taken over.
--
-- No foreign key points to the shop's tables: their clean-up deletes old orders, and what we know of them must stay.
-- The ledger's key is the order number in its one normal form, upper case and without blanks around it.
-- Needs sql/001_polling.up.sql. Safe to run again, also while the listener runs: it waits for locks for less time than a
-- statement of the listener would that has to wait behind it.
set search_path = public;
set statement_timeout = '30s';
set lock_timeout = '1s';
set client_min_messages = warning;
-- next
-- What is in the way is named, not built upon: a relation of one of our names without the column that tells it as ours,
-- or a function that belongs to somebody else.
do $$
declare
    others text;
begin
    if pg_catalog.to_regclass('listener.installed') is null then
        raise exception 'schema listener is missing: run sql/001_polling.up.sql first, or `listener install`';
    end if;
    select pg_catalog.string_agg(what, ', ') into others from (
        select 'listener.' || c.relname
        from (values ('leader', 'epoch'), ('home', 'system_identifier'), ('ledger', 'order_key'),
                     ('history', 'order_key'), ('mirror', 'order_key'), ('mirror_state', 'watermark'),
                     ('conflicts', 'order_key'), ('links', 'shown_status'), ('sync_failures', 'next_try'),
                     ('sync_state', 'reconciled_at'), ('requeues', 'order_key'), ('budget', 'tokens'),
                     ('api_calls', 'endpoint'), ('config_log', 'verdict'), ('minutes', 'process'), ('imports', 'revision'),
                     ('quarantine', 'import_id'), ('imported_orders', 'order_key')) as ours (name, column_name)
        join pg_catalog.pg_class c on c.oid = pg_catalog.to_regclass('listener.' || ours.name)
        where c.relkind <> 'r' or not exists (
            select from pg_catalog.pg_attribute a where a.attrelid = c.oid and a.attname = ours.column_name)
        union all
        select 'listener.' || p.proname || '() of role ' || p.proowner::pg_catalog.regrole
        from pg_catalog.pg_proc p where p.pronamespace = 'listener'::pg_catalog.regnamespace
          and p.proname in ('note_new_states', 'note_changed_states')
          and not pg_catalog.pg_has_role(p.proowner, 'usage')
    ) as foreign_object (what);
    if others is not null then
        raise exception 'something else is in the way: %; rename it, then run this again', others;
    end if;
    insert into listener.installed (file, object, existed) values ('002_ledger', 'tables', false) on conflict do nothing;
end
$$;
-- next
-- What an earlier state of this file has made otherwise, before the first release.
do $$
declare
    change text;
begin
    for change in
        select pg_catalog.format('alter table listener.%I add column %I %s', ours.name, column_name, definition)
        from (values
            ('ledger', 'doubt', 'text check (doubt in (''no answer'', ''locked there'', ''failed alone''))'),
            ('ledger', 'batch_limit', 'integer'),
            ('ledger', 'again', 'integer not null default 1'),
            ('ledger', 'requeued_at', 'timestamptz'),
            ('ledger', 'owner', 'text'),
            ('leader', 'host', 'text'),
            ('leader', 'process_id', 'integer')) as ours (name, column_name, definition)
        join pg_catalog.pg_class c on c.oid = pg_catalog.to_regclass('listener.' || ours.name)
        where not exists (
            select from pg_catalog.pg_attribute a where a.attrelid = c.oid and a.attname = ours.column_name)
        union all
        select pg_catalog.format('drop index %s', i.indexrelid::pg_catalog.regclass)
        from pg_catalog.pg_index i
        where i.indrelid = pg_catalog.to_regclass('listener.ledger')
          and (i.indexrelid = pg_catalog.to_regclass('listener.ledger_unwritten')
               or i.indexrelid = pg_catalog.to_regclass('listener.ledger_open')
                  and pg_catalog.pg_get_expr(i.indpred, i.indrelid) not like '%held_back%')
    loop
        execute change;
    end loop;
end
$$;
-- next
-- One row: the epoch rises with every change of leader. Who claims or records reads it and stops when it moved on.
create table if not exists listener.leader (
    id          integer primary key default 1 check (id = 1),
    epoch       bigint not null default 0,
    holder      text,
    pid         integer,
    since       timestamptz,
    lease_until timestamptz,
    host        text,
    process_id  integer
);

insert into listener.leader (id) values (1) on conflict do nothing;

-- One row: which database this is. A restored copy differs in one of the three, and a copy must not ship.
create table if not exists listener.home (
    id                integer primary key default 1 check (id = 1),
    database          text not null,
    system_identifier text not null,
    host              text not null,
    since             timestamptz not null default clock_timestamp()
);

-- One row an order that we know of, written before it is sent. While it waits, is being sent, is in doubt or is held
-- back, it keeps the order out of the check: until not_before, if there is one.
--   doubt        why an unknown outcome is to be looked up: no answer came; the order was refused as shipped there;
--                or it failed alone, while others were taken
--   batch_limit  with how many others it may share a request, after a whole request was refused
--   again        which of our own keys at ShipStation it has: the second is for an order that was cancelled there
--   requeued_at  when somebody asked for another try: from then on its age does not hold it back
create table if not exists listener.ledger (
    order_key            text primary key,
    order_inbox_id       integer not null,
    order_number         text not null,
    state                text not null check (state in ('waiting', 'sending', 'unknown', 'accepted', 'adopted',
                                                        'rejected', 'excluded', 'held_back')),
    shipstation_key      text not null,
    shipstation_order_id text,
    attempts             integer not null default 0,
    looks                integer not null default 0,
    not_before           timestamptz,
    doubt                text check (doubt in ('no answer', 'locked there', 'failed alone')),
    batch_limit          integer,
    again                integer not null default 1,
    requeued_at          timestamptz,
    epoch                bigint,
    owner                text,
    first_seen_at        timestamptz not null default clock_timestamp(),
    started_at           timestamptz,
    settled_at           timestamptz,
    http_status          integer,
    error                text,
    row_status           text,
    row_written          boolean not null default false
);

create index if not exists ledger_open on listener.ledger (state, not_before)
where state in ('waiting', 'sending', 'unknown', 'held_back');

-- What keeps an order out of the check, by its number. All that the check asks stands in the index. Not unique, though
-- it could be: a second unique index would fail an INSERT ... ON CONFLICT that runs into another.
create index if not exists ledger_holds on listener.ledger (order_key) include (state, not_before)
where state in ('waiting', 'sending', 'unknown', 'held_back');

-- A row whose number the shop changes is still the order that we are sending.
create index if not exists ledger_in_hand on listener.ledger (order_inbox_id) include (state)
where state in ('sending', 'unknown') or state in ('accepted', 'adopted') and not row_written;

create index if not exists ledger_rejected on listener.ledger (settled_at) where state = 'rejected';

-- What happened to an order, a line each time that its state or its error changed.
create table if not exists listener.history (
    id          bigint generated always as identity primary key,
    order_key   text,
    at          timestamptz default clock_timestamp(),
    state       text,
    epoch       bigint,
    http_status integer,
    note        text
);

create index if not exists history_order on listener.history (order_key, id);
-- next
create or replace function listener.note_new_states() returns trigger language plpgsql as $$
begin
    insert into listener.history (order_key, state, epoch, http_status, note)
    select order_key, state, epoch, http_status, error from new_rows;
    return null;
end
$$;

-- Grouped and not joined: two transition tables without an index join in time that grows with the square of their rows.
create or replace function listener.note_changed_states() returns trigger language plpgsql as $$
begin
    insert into listener.history (order_key, state, epoch, http_status, note)
    select order_key, state, max(epoch), max(http_status), error
    from (select order_key, state, error, epoch, http_status, true as is_new from new_rows
          union all
          select order_key, state, error, null, null, false from old_rows) as versions
    group by order_key, state, error
    having bool_and(is_new);
    return null;
end
$$;

-- The definitions are written as pg_get_triggerdef() shows them. One that is another is replaced in one transaction.
do $$
declare
    definition text;
    name       text;
begin
    for definition in
        select d from unnest(array[
            'CREATE TRIGGER listener_ledger_inserted AFTER INSERT ON listener.ledger REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION listener.note_new_states()',
            'CREATE TRIGGER listener_ledger_updated AFTER UPDATE ON listener.ledger REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION listener.note_changed_states()'
        ]) as d
        where not exists (select from pg_catalog.pg_trigger t
                          where t.tgrelid = 'listener.ledger'::regclass and t.tgenabled = 'O'
                            and pg_catalog.pg_get_triggerdef(t.oid) = d)
    loop
        name := pg_catalog.split_part(definition, ' ', 3);
        if exists (select from pg_catalog.pg_trigger t
                   where t.tgrelid = 'listener.ledger'::regclass and t.tgname = name) then
            execute pg_catalog.format('drop trigger %I on listener.ledger', name);
        end if;
        execute definition;
    end loop;
end
$$;
-- next
-- What ShipStation is known to have, whoever made it there. A row stays when the order vanishes from the lists.
create table if not exists listener.mirror (
    shipstation_order_id text primary key,
    order_key            text not null,
    order_number         text not null,
    shipstation_key      text,
    status               text not null,
    created_at           timestamptz not null,
    modified_at          timestamptz not null,
    merged_into          text,
    seen_at              timestamptz not null default clock_timestamp()
);

create index if not exists mirror_order on listener.mirror (order_key);

create index if not exists mirror_shipstation_key on listener.mirror (shipstation_key);

create index if not exists mirror_modified on listener.mirror (modified_at);

-- One row: up to which change the mirror has been read (watermark), since when it has held everything (full_at), and
-- when it was last read to the end (fresh_at).
create table if not exists listener.mirror_state (
    id         integer primary key default 1 check (id = 1),
    watermark  timestamptz,
    full_at    timestamptz,
    fresh_at   timestamptz
);

insert into listener.mirror_state (id) values (1) on conflict do nothing;

-- What a person should look at: several orders at ShipStation for one of ours, for instance.
create table if not exists listener.conflicts (
    id                    bigint generated always as identity primary key,
    order_key             text not null,
    kind                  text not null,
    shipstation_order_ids text[] not null,
    at                    timestamptz not null default clock_timestamp(),
    unique (order_key, kind, shipstation_order_ids)
);

-- Which row of orders_inbox shows which order of ShipStation, and what it was last made to show. Written by the sync.
--   whole_id       the order that this one was merged into, or split from
--   shown_status   the row's status as the sync last set or found it right; of a part, its own status at ShipStation
--   modified_at    the version of the order that the row shows
--   parts          of a part of a split order, what is in it: [[SKU, "SKU - LOT", pieces], ...]
--   shipments_of   the version whose labels have been read;  shipments_due  when to ask for them
create table if not exists listener.links (
    shipstation_order_id text primary key,
    order_inbox_id       integer not null,
    whole_id             text,
    shown_status         text,
    modified_at          timestamptz not null,
    parts                jsonb,
    shipments_of         timestamptz,
    shipments_due        timestamptz,
    shipments_tries      integer not null default 0
);

create index if not exists links_row on listener.links (order_inbox_id);

create index if not exists links_whole on listener.links (whole_id) where whole_id is not null;

create index if not exists links_modified on listener.links (modified_at);

create index if not exists links_shipments on listener.links (shipments_due) where shipments_due is not null;

-- What the sync could not take over, and when it tries again; the rest goes on meanwhile.
--   apply    an order that the shop's rows could not be made to show; payload is the order as it was listed
--   look up  an order that is to be asked for by its id
--   stretch  a stretch of the list that can't be read whole, since an order in it spoils each page it is on
create table if not exists listener.sync_failures (
    kind         text not null check (kind in ('apply', 'look up', 'stretch')),
    id           text not null,
    order_number text,
    payload      json,
    error        text not null,
    tries        integer not null default 0,
    next_try     timestamptz not null,
    at           timestamptz not null default clock_timestamp(),
    primary key (kind, id)
);

create index if not exists sync_failures_due on listener.sync_failures (next_try);

-- One row, written at the first reconciliation: when every open order was last compared with ShipStation.
create table if not exists listener.sync_state (
    id            integer primary key default 1 check (id = 1),
    reconciled_at timestamptz
);

-- Who asked for another try of an order. The newest id is part of what the listener reads when it is rung.
create table if not exists listener.requeues (
    id        bigint generated always as identity primary key,
    order_key text not null,
    by        text not null,
    at        timestamptz not null default clock_timestamp()
);
-- next
-- One row: calls to ShipStation that may be made now. It outlives restarts and holds for all processes together.
create table if not exists listener.budget (
    id          integer primary key default 1 check (id = 1),
    tokens      double precision not null,
    refilled_at timestamptz not null default clock_timestamp()
);

insert into listener.budget (id, tokens) values (1, 20) on conflict do nothing;

create table if not exists listener.api_calls (
    id          bigint generated always as identity primary key,
    at          timestamptz not null default clock_timestamp(),
    endpoint    text not null,
    orders      integer not null default 0,
    status      integer,
    duration_ms real,
    error       text
);

create index if not exists api_calls_at on listener.api_calls (at);

-- A receipt for every change of a flag that was seen: taken over or refused, and why.
create table if not exists listener.config_log (
    id             bigint generated always as identity primary key,
    parameter_name text not null,
    old_value      text,
    new_value      text,
    verdict        text check (verdict in ('accepted', 'refused')),
    reason         text,
    source         text,
    seen_at        timestamptz not null,
    in_force_at    timestamptz
);
-- next
-- What a leader counted, a row a minute, kept for two weeks. A minute without a row is one of which nothing is known.
-- A column of jsonb holds numbers by name; the parts of a name have a space between them.
--   checks           by workflow, source and action: {"upload heartbeat skip": 4};  steps, errors, processed: by workflow
--   check_times      by workflow and upper bound in ms;  latencies: orders, by upper bound in ms of what they took
--   gap_seconds_max  between two answered checks of a workflow, or two moves of polling_state;  first_at and last_at:
--                    the first and last of them, in seconds of the minute
--   api_calls        by HTTP status ("none": no answer) and endpoint;  wakes: by source;  config_changes: by verdict
-- What a version of the program did not count is null.
create table if not exists listener.minutes (
    minute                     timestamptz not null,
    process                    text not null,
    checks                     jsonb,
    check_ms                   jsonb,
    check_ms_max               jsonb,
    check_times                jsonb,
    gap_seconds_max            jsonb,
    first_at                   jsonb,
    last_at                    jsonb,
    steps                      jsonb,
    errors                     jsonb,
    processed                  jsonb,
    wakes                      jsonb,
    api_calls                  jsonb,
    config_changes             jsonb,
    latencies                  jsonb,
    latency_ms                 double precision,
    latency_ms_max             double precision,
    missed                     bigint,
    error_lines                bigint,
    pending_max                bigint,
    oldest_pending_seconds_max double precision,
    connections_max            bigint,
    mirror_age_seconds_max     double precision,
    primary key (minute, process)
);
-- next
-- A file is known by its identity and revision, not by its name or time.
create table if not exists listener.imports (
    id             bigint generated always as identity primary key,
    source         text not null,
    file_id        text not null,
    revision       text not null,
    name           text not null,
    status         text check (status in ('imported', 'failed')),
    orders_in_file integer not null default 0,
    orders_new     integer not null default 0,
    orders_known   integer not null default 0,
    orders_refused integer not null default 0,
    error          text,
    imported_at    timestamptz not null default clock_timestamp(),
    unique (source, file_id, revision)
);

create table if not exists listener.quarantine (
    id           bigint generated always as identity primary key,
    import_id    bigint not null references listener.imports on delete cascade,
    line         integer,
    order_number text,
    reason       text not null,
    at           timestamptz default clock_timestamp()
);

create index if not exists quarantine_import on listener.quarantine (import_id);

-- Every number that a file ever held, for good: an order that was cancelled and cleaned up must not come back.
create table if not exists listener.imported_orders (
    order_key text primary key,
    import_id bigint,
    at        timestamptz default clock_timestamp()
);
-- next
-- The role of sql/roles.sql, where that let it in, works with what is new, or was made anew, as well.
do $$
begin
    if exists (select from pg_catalog.pg_class c, pg_catalog.aclexplode(c.relacl) acl
               where c.oid = pg_catalog.to_regclass('public.orders_inbox')
                 and acl.grantee = pg_catalog.to_regrole('listener_worker')) then
        grant usage on schema listener to listener_worker;
        grant select, insert, update, delete on all tables in schema listener to listener_worker;
        revoke insert, update, delete on listener.installed from listener_worker;
        grant select, update (last_upload_count, last_upload_check, last_xml_count, last_xml_check)
            on public.polling_state to listener_worker;
    end if;
exception when insufficient_privilege then
    raise warning 'role listener_worker was not let in to what is new (%): run sql/roles.sql', sqlerrm;
end
$$;
-- next
reset client_min_messages;
reset lock_timeout;
reset statement_timeout;
reset search_path;
