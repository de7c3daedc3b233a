"""ShipStation's API V1: the HTTP client, the JSON that goes out and comes back, and the service's own rate limit."""
