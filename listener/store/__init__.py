"""Runtime SQL, one file a table group: each statement is a constant above the one function that uses it."""
