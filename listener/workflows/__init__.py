"""The workflows, one verb phrase a module. A step is bounded, does its work, and returns a report; the loop loops."""
