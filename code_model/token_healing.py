"""Token healing: step back to a token's border, and let only what spells the typed text through.

A tokenizer cuts the text before a cursor where it ends, often inside a token of the whole text:
after an indentation, half an identifier or a dot. A model that saw no such cuts in training expects
none of the tokens that come next there. So the last tokens before the cursor are taken back, and
the model writes them again, free to choose longer ones that begin with the same text (Lundberg,
"The art of prompt design: prompt boundaries and token healing", 2023).
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence

MAX_TOKENS_BACK = 4
"""More tokens than this are hardly ever the beginning of one."""


class TokenHealing:
    """The vocabulary of a tokenizer, in the order of its bytes.

    `vocabulary` holds the bytes of each ordinary token by id (`Tokenizer.vocabulary`).
    """

    def __init__(self, vocabulary: Mapping[int, bytes]) -> None:
        self._text_of = vocabulary
        self._ids = sorted(filter(vocabulary.__getitem__, vocabulary), key=vocabulary.__getitem__)
        self._texts = [vocabulary[id_] for id_ in self._ids]
        self._longest = max(map(len, self._texts), default=0)

    def border(self, ids: Sequence[int]) -> tuple[list[int], str]:
        """The ids before the last border of a token that the next text cannot move; the rest.

        The rest is text that the model writes again: empty if no token goes beyond the end. It
        begins and ends between characters.
        """
        tail, count, typed = b"", 0, ""
        for back in range(1, min(MAX_TOKENS_BACK, len(ids)) + 1):
            text = self._text_of.get(ids[-back])
            if text is None:
                break
            tail = text + tail
            # a token that goes beyond the end may begin inside the last one: of an indentation,
            # the last space belongs to the word behind it
            starts = range(len(tail)) if back == 1 else range(1)
            if any(self._is_extended(tail[start:]) for start in starts):
                try:
                    count, typed = back, tail.decode()
                except UnicodeDecodeError:  # the border is inside a character
                    continue
        return list(ids[: len(ids) - count]), typed

    def spelling(self, text: str) -> "Spelling":
        """Spell `text` from its beginning."""
        return Spelling(self, text.encode())

    def text_of(self, id_: int) -> bytes:
        """The bytes of a token; none of a special one."""
        return self._text_of.get(id_, b"")

    def beginning_with(self, text: bytes) -> list[int]:
        """Ids of the tokens that are `text` or go on behind it."""
        start = bisect_left(self._texts, text)
        end = bisect_right(self._texts, text + b"\xff" * self._longest)
        return self._ids[start:end]

    def beginnings_of(self, text: bytes) -> Iterator[tuple[int, list[int]]]:
        """The tokens that are a beginning of `text` but not all of it: their length, their ids."""
        for length in range(1, min(len(text), self._longest + 1)):
            start = bisect_left(self._texts, text[:length])
            end = bisect_right(self._texts, text[:length])
            if start < end:
                yield length, self._ids[start:end]

    def _is_extended(self, text: bytes) -> bool:
        """Whether a token begins with `text` and is longer."""
        after = bisect_right(self._texts, text)
        return after < len(self._texts) and self._texts[after].startswith(text)


class Spelling:
    """What is left of a text that generated tokens must spell, and the tokens that may follow."""

    def __init__(self, healing: TokenHealing, text: bytes) -> None:
        self._healing = healing
        self._text = text
        self._left = len(text)
        # lengths of ends of the text that tokens can spell; other tokens would lead nowhere
        self._spellable = {0}
        for left in range(1, len(text) + 1):
            end = text[len(text) - left :]
            if healing.beginning_with(end) or any(
                left - length in self._spellable for length, _ in healing.beginnings_of(end)
            ):
                self._spellable.add(left)

    def allowed(self) -> list[int] | None:
        """Ids of the tokens that may come next, in ascending order; None: all may."""
        if not self._left:
            return None
        left = self._text[len(self._text) - self._left :]
        ids = self._healing.beginning_with(left)
        for length, same in self._healing.beginnings_of(left):
            if self._left - length in self._spellable:
                ids += same
        return sorted(ids)

    def accept(self, id_: int) -> None:
        """The next token. Raises `ValueError` if it may not come."""
        if not self._left:
            return
        left = self._text[len(self._text) - self._left :]
        token = self._healing.text_of(id_)
        if not token or not (token.startswith(left) or left.startswith(token)):
            raise ValueError(f"token {id_} does not spell the text before the cursor")
        self._left -= min(len(token), self._left)
