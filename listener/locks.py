"""The two advisory locks, as everybody must write them: one class, two keys, both of them ints.

sql/003_notify.up.sql has the same numbers in its triggers; `listener verify` compares.
"""

LOCK_CLASS = 1818850164  # 'list' in ASCII
SILENCE_KEY = 1  # held, exclusively, while the listener is awake
LEADER_KEY = 2  # held, exclusively, by whoever leads
