"""The assignment of the A/B test: which suggestions are made without the prompt."""

import hashlib
from collections.abc import Callable

PERIOD_S = 300
"""How long a document stays in one arm. A suggestion must not change its arm while it is typed
through, and switching the prompt costs the model its cache."""


def period(seconds: float) -> int:
    """Number of the period that holds a point in time."""
    return int(seconds // PERIOD_S)


class AbTest:
    """Assigns a document to one arm for each period, independently.

    `share` is the probability of the arm without the prompt. `seed` (up to 64 bytes) determines all
    assignments. `clock` gives seconds since 1970.
    """

    def __init__(self, share: float, seed: bytes, clock: Callable[[], float]) -> None:
        self._share = share
        self._seed = seed
        self._clock = clock

    def is_without_prompt(self, uri: str) -> bool:
        """Whether a suggestion for the document is made without the prompt now."""
        text = f"{period(self._clock())} {uri}".encode("utf-8", "surrogatepass")
        digest = hashlib.blake2b(text, key=self._seed, digest_size=8).digest()
        return int.from_bytes(digest) < self._share * 2**64
