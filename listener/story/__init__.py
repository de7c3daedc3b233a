"""One order's story: what the database holds of it, how it stands, what happened, what can be done. Pure."""
