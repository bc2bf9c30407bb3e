"""Matching of brackets in code that is too short or too broken for a syntax tree.

Strings that end on their line are skipped; a quote without a partner, such as an apostrophe in
prose, starts no string.
"""

OPENERS = {"(": ")", "[": "]", "{": "}"}
CLOSERS = frozenset(OPENERS.values())
QUOTES = ("'", '"', "`")


def end_of_string(text: str, quote: str) -> int:
    """The end of the string whose content starts at `text[0]`; -1 if it does not end on its line.

    The end includes the closing `quote`.
    """
    index = 0
    while index < len(text) and text[index] != "\n":
        if text[index] == quote:
            return index + 1
        index += 2 if text[index] == "\\" else 1
    return -1


def scan(text: str) -> tuple[list[int], list[str]]:
    """Offsets of closing brackets without an opener, and the closers of openers that stay open.

    The latter are in the order of their openers. A closer of the wrong kind is ignored.
    """
    open_closers: list[str] = []
    unmatched: list[int] = []
    index = 0
    while index < len(text):
        character = text[index]
        if character in QUOTES:
            end = end_of_string(text[index + 1 :], character)
            if end > 0:
                index += end
        elif character in OPENERS:
            open_closers.append(OPENERS[character])
        elif character in CLOSERS:
            if open_closers and open_closers[-1] == character:
                open_closers.pop()
            elif not open_closers:
                unmatched.append(index)
        index += 1
    return unmatched, open_closers
