"""The soak: everything runs for hours, something breaks each minute, and nothing may grow. `scripts/soak` runs it."""
