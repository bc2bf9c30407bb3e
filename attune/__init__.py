"""Attune: inline completions from a frozen code model, attuned to a repository."""

__version__ = "0.1.0"
