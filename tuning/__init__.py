"""Tune a soft prompt on a repository and prove what it gained on files it has not seen."""
