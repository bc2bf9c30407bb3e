"""Prompt files: format, verification, routing, trust and sharing; imports no torch."""
