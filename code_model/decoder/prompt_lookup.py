"""Drafts without a draft model: what followed the last tokens when they stood here before.

Prompt lookup: code repeats itself, so the longest recent run of ids is looked up in the suffix, the
context, the prefix, the last suggestion and what was generated so far. A draft costs one search and
is only ever a proposal: the model checks it.
"""

from array import array
from collections.abc import Sequence

# ids that must agree, longest first, and how many to draft then; a longer match foretells more
MATCHES = ((4, 5), (3, 4), (2, 2))
BYTES = array("I").itemsize


class Lookup:
    """A growing sequence of ids that is searched for its own end."""

    def __init__(self, ids: Sequence[int]) -> None:
        self._ids = array("I", ids)
        self._bytes = bytearray(self._ids.tobytes())

    def add(self, ids: Sequence[int]) -> None:
        """Append ids."""
        added = array("I", ids)
        self._ids += added
        self._bytes += added.tobytes()

    def draft(self, limit: int) -> list[int]:
        """At most `limit` ids that followed the latest earlier occurrence of the end."""
        size = len(self._ids)
        for length, count in MATCHES:
            if size <= length:
                continue
            found = self._find(self._bytes[(size - length) * BYTES :], (size - 1) * BYTES)
            if found is not None:
                first = found + length
                return self._ids[first : first + min(limit, count)].tolist()
        return []

    def _find(self, wanted: bytearray, end: int) -> int | None:
        while (found := self._bytes.rfind(wanted, 0, end)) >= 0:
            if found % BYTES == 0:
                return found // BYTES
            end = found + len(wanted) - 1
        return None
