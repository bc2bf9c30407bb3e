"""Access to files that may come from strangers: bounded reading, path patterns, and git."""
