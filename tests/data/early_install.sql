-- What the first state of sql/001 and sql/002 made, before any release, with what a listener has written there since.
-- The orders are invented.
create schema listener;
create table listener.installed (
    file text not null, object text not null, existed boolean not null, previous text, primary key (file, object)
);
insert into listener.installed (file, object, existed) values
    ('001_polling', 'schema listener', false), ('001_polling', 'table polling_state', true),
    ('001_polling', 'row of polling_state', true), ('001_polling', 'workflow xml-import', true),
    ('001_polling', 'flag sync_interval', false), ('001_polling', 'index idx_orders_inbox_awaiting', false);
insert into configuration_params (category, parameter_name, value) values ('Polling', 'sync_interval', '90');
create index idx_orders_inbox_awaiting on orders_inbox (status) where status = 'awaiting_shipment';

create table listener.leader (
    id          integer primary key default 1 check (id = 1),
    epoch       bigint not null default 0,
    holder      text,
    pid         integer,
    since       timestamptz,
    lease_until timestamptz
);

insert into listener.leader (id) values (1) on conflict do nothing;

create table listener.ledger (
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

create index ledger_open on listener.ledger (state, not_before)
where state in ('waiting', 'sending', 'unknown');

create index ledger_unwritten on listener.ledger (order_inbox_id)
where not row_written and state in ('accepted', 'adopted', 'rejected', 'excluded');

create table listener.history (
    id          bigint generated always as identity primary key,
    order_key   text,
    at          timestamptz default clock_timestamp(),
    state       text,
    epoch       bigint,
    http_status integer,
    note        text
);

create index history_order on listener.history (order_key, id);
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

create trigger listener_ledger_inserted after insert on listener.ledger
referencing new table as new_rows for each statement execute function listener.note_new_states();

create trigger listener_ledger_updated after update on listener.ledger
referencing old table as old_rows new table as new_rows
for each statement execute function listener.note_changed_states();
create table listener.budget (
    id          integer primary key default 1 check (id = 1),
    tokens      double precision not null,
    refilled_at timestamptz not null default clock_timestamp()
);

insert into listener.budget (id, tokens) values (1, 20) on conflict do nothing;

create table listener.api_calls (
    id          bigint generated always as identity primary key,
    at          timestamptz not null default clock_timestamp(),
    endpoint    text not null,
    orders      integer not null default 0,
    status      integer,
    duration_ms real,
    error       text
);

create index api_calls_at on listener.api_calls (at);

create table listener.config_log (
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
create table listener.imports (
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

create table listener.quarantine (
    id           bigint generated always as identity primary key,
    import_id    bigint not null references listener.imports on delete cascade,
    line         integer,
    order_number text,
    reason       text not null,
    at           timestamptz default clock_timestamp()
);

create index quarantine_import on listener.quarantine (import_id);

create table listener.imported_orders (
    order_key text primary key,
    import_id bigint,
    at        timestamptz default clock_timestamp()
);
update listener.leader set epoch = 7;
update listener.budget set tokens = 3;
insert into listener.ledger (order_key, order_inbox_id, order_number, state, shipstation_key, attempts, error) values
    ('A-1', 1, 'A-1', 'accepted', 'listener-A-1', 0, null), ('A-2', 2, 'A-2', 'waiting', 'listener-A-2', 2, 'no zone');
insert into listener.config_log (parameter_name, old_value, new_value, verdict, seen_at)
values ('sync_interval', '120', '90', 'accepted', now());
insert into listener.imports (source, file_id, revision, name, status) values ('folder', '1', '1', 'orders.xml', 'imported');
insert into listener.imported_orders (order_key, import_id) values ('A-1', 1);
