-- The shop's own tables, for a database that has none of them yet.
--
-- A shop that is in business has these tables already and does not need this file. What is there stays as it is: a
-- table of the same name is left alone, whatever its columns are. Nothing here is ever dropped again, since the rows
-- are the shop's and not ours.
--
-- Two traps: 'awaiting_shipment' stands for an order that is still to be sent as well as for one that was sent and
-- is not shipped yet (that one has a shipstation_order_id); and configuration_params' unique key does not hold where
-- sku is NULL.
set search_path = public;
set statement_timeout = '30s';
set lock_timeout = '2s';
set client_min_messages = warning;
-- next
create table if not exists orders_inbox (
    id                    serial primary key,
    order_number          text not null unique,
    order_date            date not null,
    customer_email        text,
    status                text not null default 'pending',
    shipstation_order_id  text,
    total_items           integer default 0,
    total_amount_cents    integer,
    source_system         text default 'X-Cart',
    created_at            timestamp default current_timestamp,
    updated_at            timestamp default current_timestamp,
    failure_reason        text,
    ship_name             text,
    ship_company          text,
    ship_street1          text,
    ship_street2          text,
    ship_city             text,
    ship_state            text,
    ship_postal_code      text,
    ship_country          text,
    ship_phone            text,
    bill_name             text,
    bill_company          text,
    bill_street1          text,
    bill_street2          text,
    bill_city             text,
    bill_state            text,
    bill_postal_code      text,
    bill_country          text,
    bill_phone            text,
    shipping_carrier_code text,
    shipping_carrier_id   text,
    shipping_service_code text,
    shipping_service_name text,
    tracking_number       text,
    is_flagged            boolean default false,
    flag_reason           varchar(200),
    notes                 text,
    constraint orders_inbox_status_check check (status in (
        'pending', 'uploaded', 'awaiting_shipment', 'failed', 'synced_manual',
        'shipped', 'cancelled', 'on_hold', 'awaiting_payment'))
);

create table if not exists order_items_inbox (
    id               serial primary key,
    order_inbox_id   integer not null references orders_inbox (id) on delete cascade,
    sku              text not null,
    sku_lot          text,
    quantity         integer not null check (quantity > 0),
    unit_price_cents integer,
    constraint order_items_inbox_order_sku_unique unique (order_inbox_id, sku)
);

create table if not exists configuration_params (
    id             serial primary key,
    category       text not null,
    parameter_name text not null,
    value          text not null,
    sku            text,
    notes          text,
    last_updated   text,
    created_at     text default current_timestamp,
    unique (category, parameter_name, sku)
);

create table if not exists workflow_controls (
    workflow_name text primary key,
    enabled       boolean not null default true,
    last_updated  timestamp default current_timestamp,
    updated_by    text default 'system',
    last_run_at   timestamp
);

create table if not exists sync_watermark (
    id                  serial primary key,
    workflow_name       text not null unique,
    last_sync_timestamp text not null,
    updated_at          text default current_timestamp
);

create table if not exists shipped_orders (
    id                    serial primary key,
    ship_date             text not null,
    order_number          text not null unique,
    customer_email        text,
    total_items           integer default 0,
    shipstation_order_id  text,
    created_at            text default current_timestamp,
    shipping_carrier_code text,
    shipping_carrier_id   text,
    shipping_service_code text,
    shipping_service_name text
);

create table if not exists shipped_items (
    id               serial primary key,
    ship_date        text not null,
    sku_lot          text not null default '',
    base_sku         text not null,
    quantity_shipped integer not null check (quantity_shipped > 0),
    order_number     text,
    created_at       text default current_timestamp,
    tracking_number  text,
    unique (order_number, base_sku, sku_lot)
);

create table if not exists shipstation_order_line_items (
    id                   serial primary key,
    order_inbox_id       integer not null references orders_inbox (id),
    sku                  text not null,
    shipstation_order_id text not null,
    created_at           text default current_timestamp,
    unique (order_inbox_id, sku)
);

create table if not exists bundle_skus (
    id          serial primary key,
    bundle_sku  text not null unique,
    description text not null,
    active      integer not null default 1 check (active in (0, 1)),
    created_at  text default current_timestamp,
    updated_at  text default current_timestamp
);

create table if not exists bundle_components (
    id            serial primary key,
    bundle_sku_id integer not null references bundle_skus (id),
    component_sku text not null,
    multiplier    integer not null check (multiplier > 0),
    sequence      integer not null default 1,
    created_at    text default current_timestamp
);

create table if not exists sku_lot (
    id         serial primary key,
    sku        text not null,
    lot        text not null,
    active     integer not null default 1 check (active in (0, 1)),
    created_at text not null default current_timestamp,
    updated_at text not null default current_timestamp,
    unique (sku, lot)
);
-- next
reset client_min_messages;
reset lock_timeout;
reset statement_timeout;
reset search_path;
