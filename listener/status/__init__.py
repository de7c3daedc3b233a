"""What the running listener says about itself over HTTP: read-only, and from memory alone."""
