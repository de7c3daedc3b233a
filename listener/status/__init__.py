"""What the running listener says about itself over HTTP: read-only. Figures come from memory alone."""
