"""Prompt lookup: drafts for speculative decoding without a draft model.

Code repeats itself. The longest recent run of ids is searched for in the suffix, the context, the
prefix, the last suggestion and what was generated so far, and what followed it there is the draft.
The model verifies every draft, so a wrong one only costs time.
"""

from array import array
from collections.abc import Sequence

# (ids that must match, longest first; ids to draft then): a longer match predicts more
MATCHES = ((4, 5), (3, 4), (2, 2))
BYTES = array("I").itemsize


class PromptLookup:
    """A growing sequence of ids that is searched for its own last ids."""

    def __init__(self, ids: Sequence[int]) -> None:
        self._ids = array("I", ids)
        self._bytes = bytearray(self._ids.tobytes())

    def add(self, ids: Sequence[int]) -> None:
        """Append ids."""
        added = array("I", ids)
        self._ids += added
        self._bytes += added.tobytes()

    def draft(self, limit: int) -> list[int]:
        """At most `limit` ids that followed the latest earlier occurrence of the last ids."""
        size = len(self._ids)
        for length, count in MATCHES:
            if size <= length:
                continue
            index = self._rfind(self._bytes[(size - length) * BYTES :], (size - 1) * BYTES)
            if index is not None:
                first = index + length
                return self._ids[first : first + min(limit, count)].tolist()
        return []

    def _rfind(self, pattern: bytearray, end: int) -> int | None:
        """Index of the last id at which `pattern` begins before byte `end`."""
        while (start := self._bytes.rfind(pattern, 0, end)) >= 0:
            if start % BYTES == 0:
                return start // BYTES
            end = start + len(pattern) - 1
        return None
