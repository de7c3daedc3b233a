"""Where order files come from (`source` says what that is), and what is in them. A source is never written to."""
