"""Text from outside, made fit for a text column: PostgreSQL takes neither NUL nor half a surrogate pair."""

LONGEST = 500


def storable(text: str | None) -> str | None:
    """Return the text without what cannot be stored, and cut to 500 characters; None stays None."""
    if text is None:
        return None
    return text[:LONGEST].replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")
