"""listener: moves orders from a shop's PostgreSQL inbox to ShipStation the moment they are committed, exactly once.

The way of an order::

    COMMIT ─▶ trigger ─▶ NOTIFY ─▶ wake ─▶ ears ─▶ schedule ─▶ work ─▶ upload_orders ─▶ ledger ─▶ ShipStation
             (sql/003)            (LISTEN) (main    (decides,  (upload's   (one pass)    (before
                                            thread)  pure)      thread)                   and after)

Where to look:

==========================  ===========================================================================
how a writer stays cheap    `bell`, which argues it, and sql/003_notify.up.sql, which does it
what happens next           `schedule` (what is due), `transitions` and `phases` (where an event leads), `state`
the main thread             `daemon` (the loop), `ears` (what it hears), `pulse`, `signals`, `publish` (what it shows)
the upload                  `work` (the session and its jobs), `workflows.upload_orders`, `workflows.claim_orders`
what was tried              `store.ledger`; what is pending, `store.inbox`; who leads, `leader`
calls to ShipStation        `budget`, `shipstation.client`, `shipstation.payload`, `workflows.outcomes`
files of orders             `sources.source`, `.folder`, `.drive`, `.xcart`, `workflows.import_xml`, `.import_file`
what was counted            `minutes` (a minute's figures), `metrics`; how that looks: `snapshot`, `health`, `rollout`
what a supervisor hears     `supervisor` (sd_notify)
settings                    `settings` (environment), `flags` and `config` (tables)
what is wrong               `doctor`, whose table of checks is `doctor.checks`
==========================  ===========================================================================

When something fails: an edge turns it into `errors.Transient`, `Rejected` or `Fatal`, named by what the loop does next.
A lost session loses leadership, silence and claims together, and a new one starts over with a look. A request without
an answer leaves its orders in doubt, and they are looked up before they are sent again. Nothing else is retried by
hand: `retry` holds every policy. Whatever escapes a step is a bug; it is logged, and the loop goes on.
"""

__version__ = "0.1.0"
