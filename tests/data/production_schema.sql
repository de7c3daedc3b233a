-- The shop's database as the listener finds it: a PostgreSQL 16 that has been in use for years.
-- It has the tables that the listener reads or writes and no others; column names, types, defaults and checks are as there.
--
-- What makes it a harder place to install on than an empty database:
--   * times kept as text, and booleans kept as integers
--   * a unique key over a nullable sku, so that rows without one can stand there twice
--   * polling_state is there already, with last_xml_count as text
--   * status 'awaiting_shipment' for orders that are still to be uploaded, and for uploaded ones that have not shipped

create table orders_inbox (
    id                    serial primary key,
    order_number          text not null unique,
    order_date            date not null,
    customer_email        text,
    status                text not null default 'pending',
    shipstation_order_id  text,
    total_items           integer default 0,
    total_amount_cents    integer,
    source_system         text default 'X-Cart',
    created_at            timestamp default current_timestamp,   -- without time zone, server's zone
    updated_at            timestamp default current_timestamp,
    failure_reason        text,
    ship_name text, ship_company text, ship_street1 text, ship_street2 text, ship_city text,
    ship_state text, ship_postal_code text, ship_country text, ship_phone text,
    bill_name text, bill_company text, bill_street1 text, bill_street2 text, bill_city text,
    bill_state text, bill_postal_code text, bill_country text, bill_phone text,
    shipping_carrier_code text, shipping_carrier_id text,
    shipping_service_code text, shipping_service_name text,
    tracking_number       text,
    is_flagged            boolean default false,
    flag_reason           varchar(200),
    notes                 text,
    constraint orders_inbox_status_check check (status in (
        'pending', 'uploaded', 'awaiting_shipment', 'failed', 'synced_manual',
        'shipped', 'cancelled', 'on_hold', 'awaiting_payment'))
);

create table order_items_inbox (
    id               serial primary key,
    order_inbox_id   integer not null references orders_inbox (id) on delete cascade,
    sku              text not null,
    sku_lot          text,
    quantity         integer not null check (quantity > 0),
    unit_price_cents integer,
    constraint order_items_inbox_order_sku_unique unique (order_inbox_id, sku)
);

create table configuration_params (
    id             serial primary key,
    category       text not null,
    parameter_name text not null,
    value          text not null,
    sku            text,                                   -- NULL for all of category 'Polling'
    notes          text,
    last_updated   text,
    created_at     text default current_timestamp,
    unique (category, parameter_name, sku)                 -- NULLs are distinct: ON CONFLICT never fires for them
);

create table workflow_controls (
    workflow_name text primary key,
    enabled       boolean not null default true,
    last_updated  timestamp default current_timestamp,
    updated_by    text default 'system',
    last_run_at   timestamp
);

-- Left behind by the first polling rollout: note last_xml_count.
create table polling_state (
    id                integer primary key default 1,
    last_upload_count integer default 0,
    last_upload_check timestamp default current_timestamp,
    last_xml_count    text default 0,
    last_xml_check    timestamp default current_timestamp,
    constraint single_row check (id = 1)
);

create table sync_watermark (
    id                  serial primary key,
    workflow_name       text not null unique,
    last_sync_timestamp text not null,
    updated_at          text default current_timestamp
);

create table shipped_orders (
    id                    serial primary key,
    ship_date             text not null,
    order_number          text not null unique,
    customer_email        text,
    total_items           integer default 0,
    shipstation_order_id  text,
    created_at            text default current_timestamp,
    shipping_carrier_code text, shipping_carrier_id text,
    shipping_service_code text, shipping_service_name text
);

create table shipped_items (
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

create table shipstation_order_line_items (
    id                   serial primary key,
    order_inbox_id       integer not null references orders_inbox (id),
    sku                  text not null,
    shipstation_order_id text not null,
    created_at           text default current_timestamp,
    unique (order_inbox_id, sku)
);

create table bundle_skus (
    id          serial primary key,
    bundle_sku  text not null unique,
    description text not null,
    active      integer not null default 1 check (active in (0, 1)),
    created_at  text default current_timestamp,
    updated_at  text default current_timestamp
);

create table bundle_components (
    id            serial primary key,
    bundle_sku_id integer not null references bundle_skus (id),
    component_sku text not null,
    multiplier    integer not null check (multiplier > 0),
    sequence      integer not null default 1,
    created_at    text default current_timestamp
);

create table sku_lot (
    id         serial primary key,
    sku        text not null,
    lot        text not null,
    active     integer not null default 1 check (active in (0, 1)),
    created_at text not null default current_timestamp,
    updated_at text not null default current_timestamp,
    unique (sku, lot)
);

-- Rows as production has them.
insert into workflow_controls (workflow_name) values
    ('shipstation-upload'), ('xml-import'), ('unified-shipstation-sync');
insert into configuration_params (category, parameter_name, value, sku) values
    ('Key Products', 'SKU 17612', '17612', '17612'),
    ('Product Names', 'Name 17612', 'Sample Rinse 250 ml', '17612');
insert into polling_state (id) values (1);
