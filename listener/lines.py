"""Sentences for a terminal, in lines of at most 80 characters, with nothing in them that could move its cursor."""

import re
import textwrap

from listener.log import escape

WIDTH = 80

COMMAND = re.compile("`[^`]*`")
QUOTED = re.compile("'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"")
"""What stays whole: a command in backquotes, which could not be copied from two lines, and what SQL has in quotes."""

LETTER, LAST_LETTER = "\ue000", "\ue001"
"""Stand for the letters of what stays whole while lines are broken."""


def wrapped(text: str, indent: str = "", *, first: str = "", whole: re.Pattern[str] = COMMAND) -> str:
    """Break a text into lines, but never inside what is to stay whole. The first line begins with `first`."""
    text = escape(text).replace(LETTER, "\ufffd").replace(LAST_LETTER, "\ufffd")
    kept = iter(whole.findall(text))
    text = whole.sub(lambda match: LETTER * (min(len(match[0]), WIDTH - len(indent)) - 1) + LAST_LETTER, text)
    filled = textwrap.fill(text, WIDTH, initial_indent=first, subsequent_indent=indent, break_on_hyphens=False)
    return re.sub(f"{LETTER}*{LAST_LETTER}", lambda _: next(kept), filled)
