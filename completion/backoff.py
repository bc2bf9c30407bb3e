"""Back-off: after a mismatch the next suggestions are usually wrong too, so request fewer.

For the next letters of the same word a request waits until the user pauses.
"""

import re
from dataclasses import dataclass

MAX_LETTERS = 4
"""Letters, from the first mismatch on, after which every letter is requested again.
docs/experiments.md compares other values."""

LETTERS = re.compile(r"\w+")


@dataclass
class _Word:
    suggestion: str = ""
    letters_since_mismatch: int = 0
    """Including the mismatched letter; 0 without a mismatch."""


class Backoff:
    """For each file, whether the word at the cursor has contradicted its suggestion."""

    def __init__(self) -> None:
        self._words: dict[str, _Word] = {}

    def typed(self, document: str, before: str, typed: str | None) -> None:
        """Record what was typed behind `before` since the last request in the file.

        `typed` is None if the text has changed in another way. A word ends at anything but a
        letter, digit or underscore.
        """
        word = self._words.get(document)
        if word is None or typed is None or (typed and not LETTERS.fullmatch(typed)):
            self._words[document] = _Word()
            return
        if not typed:
            return
        if not LETTERS.match(before[-1:]):
            word.letters_since_mismatch = 0
        mismatch = word.suggestion and not word.suggestion.startswith(typed)
        if word.letters_since_mismatch or mismatch:
            word.letters_since_mismatch += len(typed)
        word.suggestion = ""

    def suggested(self, document: str, text: str) -> None:
        """Record the model's text at the cursor, shown or withheld."""
        self._words.setdefault(document, _Word()).suggestion = text

    def forget(self, document: str) -> None:
        """Free what is kept of a file."""
        self._words.pop(document, None)

    def is_active(self, document: str) -> bool:
        """Whether a request should wait until the user pauses."""
        word = self._words.get(document)
        return word is not None and 0 < word.letters_since_mismatch < MAX_LETTERS
