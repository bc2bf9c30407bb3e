"""Strings and comments that the cursor is in and that nothing closes yet.

A parser reports them as errors. So text decides here, and the tree only excludes quotes that belong
to something complete, such as a comment or a regular expression.
"""

import re
from collections.abc import Iterator
from functools import cache
from itertools import islice
from typing import Literal

import tree_sitter

from code_context.languages import Language, languages
from code_context.syntax import SyntaxTree

PREFIX = re.compile(r"[\w$@]{0,8}$")
"""What stands directly before a quote and belongs to the string."""
MAX_QUOTES = 200
"""Quotes without a partner that are examined, so that the work has a limit."""


def unterminated_text_at(tree: SyntaxTree, offset: int) -> Literal["string", "comment"] | None:
    """Whether the cursor is in a string or comment without an end.

    Code that is inserted into such a string (`f"{`) is no string.
    """
    if tree.root is None or tree.language is None or not tree.root.has_error:
        return None
    language = languages()[tree.language]
    if language.block_comment and _is_in_block_comment(tree, language.block_comment, offset):
        return "comment"
    opener = _open_quote_on_line(tree, language, offset)
    if opener is None:
        opener = _open_quote_above(tree, language, offset)
    if opener is None or _is_in_interpolation(tree.text, language, *opener, offset):
        return None
    return "string"


def _is_in_block_comment(tree: SyntaxTree, marks: tuple[str, ...], offset: int) -> bool:
    opening, closing = marks
    start = tree.text.rfind(opening, 0, offset)
    if start < 0 or tree.text.find(closing, start + len(opening)) >= 0:
        return False
    leaf = _leaf(tree, start)
    if leaf is not None and leaf.type == "/":  # also where it was taken for a regular expression
        return True
    return tree.string_or_comment_at(start + 1) is None and not _is_plain_text(tree, start)


def _open_quote_on_line(
    tree: SyntaxTree, language: Language, offset: int
) -> tuple[int, int] | None:
    """The first quote of the cursor's line that is not closed before the cursor, as a range."""
    start = tree.lines.starts[tree.lines.line_of(offset)]
    matches = _strings(language).finditer(tree.text, start, offset)
    opening = (match for match in matches if match.lastgroup is not None)
    for match in islice(opening, MAX_QUOTES):
        if not _is_complete(tree, match.start()):
            return match.span()
    return None


def _open_quote_above(tree: SyntaxTree, language: Language, offset: int) -> tuple[int, int] | None:
    """The quote of a string of several lines that is still open at the cursor."""
    start_of_line = tree.lines.starts[tree.lines.line_of(offset)]
    for quote in language.multiline_quotes:
        loose = list(_loose_quotes_above(tree, quote, start_of_line))
        if len(loose) % 2:  # two of them are a string with an error inside
            return loose[0], loose[0] + len(quote)
    return None


def _loose_quotes_above(tree: SyntaxTree, quote: str, end: int) -> Iterator[int]:
    """The last quotes before `end` that belong to nothing complete, from the last one backwards."""
    for _ in range(MAX_QUOTES):
        end = tree.text.rfind(quote, 0, end)
        if end < 0 or _is_complete(tree, end):
            return
        yield end


def _is_complete(tree: SyntaxTree, offset: int) -> bool:
    """Whether the token at an offset is part of a construct without an error."""
    if tree.string_or_comment_at(offset + 1) == "comment" or _is_plain_text(tree, offset):
        return True
    leaf = _leaf(tree, offset)
    if leaf is None or leaf.is_error or leaf.parent is None:
        return False
    return not (leaf.parent.is_error or leaf.parent.has_error)


def _is_plain_text(tree: SyntaxTree, offset: int) -> bool:
    """Whether an offset is in text between code, as in a PHP file, or between JSX tags."""
    leaf = _leaf(tree, offset)
    return leaf is not None and leaf.type in ("text", "jsx_text")


def _leaf(tree: SyntaxTree, offset: int) -> tree_sitter.Node | None:
    byte = tree.lines.to_byte(offset)
    return None if tree.root is None else tree.root.descendant_for_byte_range(byte, byte + 1)


def _is_in_interpolation(text: str, language: Language, start: int, end: int, offset: int) -> bool:
    """Whether code is open in the string whose opening quote is `text[start:end]`."""
    if not language.interpolation:
        return False
    prefix = PREFIX.search(text, max(0, start - 8), start)
    needed = language.interpolated_prefix
    if needed and not (prefix and set(prefix.group()) & set(needed)):
        return False
    content = text[end:offset].replace("{{", "")
    return content.rfind(language.interpolation) > content.rfind("}")


@cache
def _strings(language: Language) -> re.Pattern[str]:
    """Matches a whole string, or in a named group a quote that opens one without an end."""
    patterns = []
    for number, quote in enumerate((*language.multiline_quotes, *language.line_quotes)):
        mark = re.escape(quote)
        content = rf"(?:[^\\{mark}]|\\.)*" if len(quote) == 1 else r"(?:[^\\]|\\.)*?"
        patterns.append(rf"{mark}{content}{mark}|(?P<open_{number}>{mark})")
    return re.compile("|".join(patterns), re.DOTALL)
