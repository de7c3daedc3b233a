"""Names and values from the server as SQL has them, on one line whatever is in them. Pure.

What cannot be printed is written in its escaped form: the SQL goes to a terminal as well as to psql.
Source: PostgreSQL manual, 4.1.2.3 and 4.1.2.4 (U& identifiers and strings).
"""


def identifier(name: str) -> str:
    """Return a name in double quotes."""
    return _quoted(name, '"')


def literal(value: str) -> str:
    """Return a value as a string constant."""
    return _quoted(value, "'")


def _quoted(text: str, quote: str) -> str:
    doubled = text.replace(quote, quote * 2)
    if doubled.isprintable():
        return f"{quote}{doubled}{quote}"
    return f"U&{quote}{''.join(map(_escaped, doubled))}{quote}"


def _escaped(character: str) -> str:
    if character == "\\":
        return "\\\\"
    return character if character.isprintable() else f"\\+{ord(character):06x}"
