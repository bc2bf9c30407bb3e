"""From source text to the context of a completion: syntax, retrieval, token budgets."""
