"""Brackets of code in pieces too small or too broken for a syntax tree.

Strings on one line are skipped; an apostrophe without a partner, as in prose, is no string.
"""

OPENERS = {"(": ")", "[": "]", "{": "}"}
CLOSERS = frozenset(OPENERS.values())
QUOTES = ("'", '"', "`")


def end_of_string(text: str, quote: str) -> int:
    """Where the string ends whose inside `text` begins with, -1 if its line does not end it."""
    at = 0
    while at < len(text) and text[at] != "\n":
        if text[at] == quote:
            return at + 1
        at += 2 if text[at] == "\\" else 1
    return -1


def scan(text: str) -> tuple[list[int], list[str]]:
    """Places of closing brackets that nothing in `text` opens, and the closers it leaves due.

    The latter are in the order of their openers. A closer of the wrong kind counts for neither.
    """
    due: list[str] = []
    unmatched: list[int] = []
    at = 0
    while at < len(text):
        one = text[at]
        if one in QUOTES:
            end = end_of_string(text[at + 1 :], one)
            if end > 0:
                at += end
        elif one in OPENERS:
            due.append(OPENERS[one])
        elif one in CLOSERS:
            if due and due[-1] == one:
                due.pop()
            elif not due:
                unmatched.append(at)
        at += 1
    return unmatched, due
