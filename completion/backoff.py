"""A word that contradicts what was suggested for it mostly goes on to do so at its next letters.

Until enough of it is known, the model is asked only where the user pauses.
"""

import re
from dataclasses import dataclass

ENOUGH = 4
"""Letters from the first contradiction on, its own counted, after which the model is asked at every
letter again. docs/experiments.md has what other numbers save and lose."""

LETTERS = re.compile(r"\w+")


@dataclass
class _Word:
    said: str = ""
    letters: int = 0
    """Since it first contradicted what was said; 0 if it has not."""


class Backoff:
    """The word that is being typed in each file, and whether it has contradicted the model."""

    def __init__(self) -> None:
        self._words: dict[str, _Word] = {}

    def typed(self, path: str, before: str, typed: str | None) -> None:
        """`typed` stands at the cursor, behind `before`, since the last request in the file; None:
        the text has changed in another way.

        A word ends where something else than letters, digits and underscores comes.
        """
        word = self._words.get(path)
        if word is None or typed is None or (typed and not LETTERS.fullmatch(typed)):
            self._words[path] = _Word()
            return
        if not typed:
            return
        if not LETTERS.match(before[-1:]):
            word.letters = 0
        if word.letters or (word.said and not word.said.startswith(typed)):
            word.letters += len(typed)
        word.said = ""

    def said(self, path: str, text: str) -> None:
        """The model has said `text` at the cursor, shown or withheld."""
        self._words.setdefault(path, _Word()).said = text

    def doubts(self, path: str) -> bool:
        """Whether to ask only if the user pauses."""
        word = self._words.get(path)
        return word is not None and 0 < word.letters < ENOUGH
