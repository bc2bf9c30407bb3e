"""What repository context costs and what it gains."""
