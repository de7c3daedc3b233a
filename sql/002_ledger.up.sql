-- The listener's own memory, in schema listener: who leads, what was tried at ShipStation and what became of it, the
-- budget of API calls and their journal, the changes of flags, and the files that were imported.
--
-- No foreign key points to the shop's tables: their clean-up deletes old orders, and what we know of them must stay.
-- The ledger's key is the order number in its one normal form, upper case and without blanks around it.
-- Needs sql/001_polling.up.sql. Safe to run again.
set search_path = public;
set statement_timeout = '30s';
set lock_timeout = '2s';
set client_min_messages = warning;
-- next
do $$
begin
    if pg_catalog.to_regclass('listener.installed') is null then
        raise exception 'schema listener is missing: run sql/001_polling.up.sql first, or `listener install`';
    end if;
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
    lease_until timestamptz
);

insert into listener.leader (id) values (1) on conflict do nothing;

-- One row an order that we know of, written before it is sent. While it waits, is being sent or is in doubt, it keeps
-- the order out of the check until not_before.
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
    epoch                bigint,
    first_seen_at        timestamptz not null default clock_timestamp(),
    started_at           timestamptz,
    settled_at           timestamptz,
    http_status          integer,
    error                text,
    row_status           text,
    row_written          boolean not null default false
);

create index if not exists ledger_open on listener.ledger (state, not_before)
where state in ('waiting', 'sending', 'unknown');

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

create or replace function listener.note_changed_states() returns trigger language plpgsql as $$
begin
    insert into listener.history (order_key, state, epoch, http_status, note)
    select n.order_key, n.state, n.epoch, n.http_status, n.error
    from new_rows n join old_rows o using (order_key)
    where (n.state, n.error) is distinct from (o.state, o.error);
    return null;
end
$$;

create or replace trigger listener_ledger_inserted after insert on listener.ledger
referencing new table as new_rows for each statement execute function listener.note_new_states();

create or replace trigger listener_ledger_updated after update on listener.ledger
referencing old table as old_rows new table as new_rows
for each statement execute function listener.note_changed_states();
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
reset client_min_messages;
reset lock_timeout;
reset statement_timeout;
reset search_path;
