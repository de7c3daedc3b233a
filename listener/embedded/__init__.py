"""What the demo and the tests run the listener against: a Postgres of its own, and stand-ins for the services.

The rule: nothing of this is needed in production, and only ``listener.cli`` may import it.
"""
