"""Columns of the shop's tables in a form that we can hold: any program may have put anything there.

The rule: what is read of such a column goes through one of these. PostgreSQL's dates reach from 4714 BC to infinity,
Python's from the year 1 to 9999, and one row beyond them would spoil the reading of all.
"""

from listener.orders import LONGEST_TEXT


def text(column: str) -> str:
    """Return SQL for a text, empty for NULL, of which enough is read to see that it is too long."""
    return f"left(coalesce({column}, ''), {LONGEST_TEXT + 1})"


def day(column: str) -> str:
    """Return SQL for a date; NULL when it lies outside of the years that Python knows."""
    return f"case when {column} between '0001-01-01' and '9999-12-31' then {column} end"


def age_in_days(column: str) -> str:
    """Return SQL for how long ago a date was; 0 when nobody can tell."""
    return f"case when {column} between '0001-01-01' and '9999-12-31' then current_date - {column} else 0 end"


def instant(column: str) -> str:
    """Return SQL for a time; NULL when it lies outside of the years that Python knows, in any zone."""
    return f"case when {column}::timestamptz between '0001-01-03' and '9999-12-29' then {column}::timestamptz end"
