"""Which suggestions are made without the prompt, so that typing itself shows what it is worth."""

import hashlib
from collections.abc import Callable

PERIOD_S = 300
"""How long a document stays on one side: a suggestion must not change its side while it is typed
through, and switching costs the model its cache."""


class AbTest:
    """Draws `share` of the periods of every document; `seed` makes the draw another one each time.

    `clock` gives seconds.
    """

    def __init__(self, share: float, seed: bytes, clock: Callable[[], float]) -> None:
        self._share = share
        self._seed = seed
        self._clock = clock

    def is_without_prompt(self, uri: str) -> bool:
        """Whether a suggestion for the document is made without the prompt now."""
        period = int(self._clock() // PERIOD_S)
        text = f"{period} {uri}".encode("utf-8", "surrogatepass")
        drawn = hashlib.blake2b(text, key=self._seed, digest_size=8).digest()
        return int.from_bytes(drawn) < self._share * 2**64
