"""A word that has contradicted what was suggested for it mostly goes on to do so.

In such a word the model is not asked at every letter, but at some, and wherever the user pauses.
"""

import re
from dataclasses import dataclass

LETTERS = (1, 3)
"""How many letters from a contradiction on are typed until the model is asked again at once: after
the first in a word, and after every later one."""

LETTERS_ONLY = re.compile(r"\w+")


@dataclass
class _Word:
    said: str = ""
    contradictions: int = 0
    letters: int = 0
    """Since the last contradiction, its own counted."""


class Doubts:
    """The word that is being typed in each file, and what it has contradicted."""

    def __init__(self) -> None:
        self._words: dict[str, _Word] = {}

    def typed(self, path: str, before: str, typed: str | None) -> None:
        """`typed` stands at the cursor, behind `before`, since the last request in the file; None:
        the text has changed in another way.

        A word ends where something else than letters, digits and underscores comes.
        """
        word = self._words.get(path)
        if word is None or typed is None or (typed and not LETTERS_ONLY.fullmatch(typed)):
            self._words[path] = _Word()
            return
        if not typed:
            return
        if not LETTERS_ONLY.match(before[-1:]):
            word.contradictions = 0
        if word.said and not word.said.startswith(typed):
            word.contradictions += 1
            word.letters = 0
        word.letters += len(typed)
        word.said = ""

    def said(self, path: str, text: str) -> None:
        """The model has said `text` at the cursor, shown or withheld."""
        self._words.setdefault(path, _Word()).said = text

    def doubts(self, path: str) -> bool:
        """Whether to ask only if the user pauses."""
        word = self._words.get(path)
        if word is None or not word.contradictions:
            return False
        return word.letters < LETTERS[min(word.contradictions, len(LETTERS)) - 1]
