"""Where order files come from, and what is in them. A source is never written to."""
