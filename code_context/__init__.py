"""Source text to structured context: positions, syntax, completion kind, budgeted context."""
