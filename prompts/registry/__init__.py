"""Registries of shared prompts: versions that are added and never changed, on any storage."""

from prompts.registry.entry import Entry
from prompts.registry.registry import Registry, open_registry

__all__ = ["Entry", "Registry", "open_registry"]
