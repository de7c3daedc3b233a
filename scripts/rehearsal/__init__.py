"""A rehearsal of the rollout: from three old scripts to the listener, through every rollback, and back again.

past         600 orders as production has them, here and at ShipStation
old_scripts  stand-ins for the three loops that the listener replaces
customers    writers that do not stop, and a file of orders that grows
stage        the server, ShipStation and the listener between them, and what is checked of them
phases       what an operator does, one step after the other, as RUNBOOK.md says
"""
