"""Processes that are killed at random moments: what is left, and whether the next one goes on."""
