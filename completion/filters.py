"""Filters that shorten a suggestion or remove it before it is shown.

Each takes a `Candidate` and returns the beginning of its text that may be shown. If nothing
remains, the filter's name is the reason for the empty result.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice

from code_context.brackets import CLOSERS, OPENERS, QUOTES, scan
from code_context.indentation import indentation_unit
from code_context.syntax import Span, SyntaxTree, parse
from completion.reasons import Reason

WORD = re.compile(r"\w")
NAME_AT_END = re.compile(r"[\w.]*\w\Z")
MIN_REPEATED = 4
"""Characters; shorter text repeats by chance (a bracket, `else`)."""
LONG_LINE = 24
"""Characters; of the lines of this length in Attune's own code, 1 % come again in the next 40."""
LINES_BELOW = 40
BRACKET_WINDOW = 4_000
"""Characters before the cursor in which an opening bracket is searched."""
ERROR_WINDOW = 2_000
"""Characters on both sides of the cursor in which syntax errors are counted."""
LOOPS = re.compile(r"(.{3,40}?)\1{4}|(.{10,200}?)\2{2}", re.DOTALL)
CONTINUED = ("(", "[", "{", ",", "\\")
"""Ends of a line that is continued on the next one."""


@dataclass(frozen=True)
class Candidate:
    """`text`, of one or more lines, is to be inserted at `offset` of the tree's text.

    `is_cut`: the show threshold removed text behind it. `infills`: the model was trained to write
    between two texts.
    """

    tree: SyntaxTree
    offset: int
    text: str
    is_cut: bool = False
    infills: bool = True

    @property
    def left(self) -> str:
        """The cursor's line before the cursor."""
        lines = self.tree.lines
        return self.tree.text[lines.starts[lines.line_of(self.offset)] : self.offset]

    @property
    def right(self) -> str:
        """The cursor's line behind the cursor."""
        lines = self.tree.lines
        return self.tree.text[self.offset : lines.content_end(lines.line_of(self.offset))]

    @property
    def lines_below(self) -> Iterator[str]:
        """The lines below the cursor's that are not blank, stripped."""
        lines = self.tree.lines
        below = range(lines.line_of(self.offset) + 1, lines.line_count)
        return (text for n in below if (text := lines.line_text(n).strip()))

    @property
    def next_line(self) -> str:
        """The first non-blank line below the cursor's, stripped; empty if there is none."""
        return next(self.lines_below, "")


Filter = Callable[[Candidate], str]


def repeats_suffix(candidate: Candidate) -> str:
    """Cut what repeats the text behind the cursor or the next line.

    Of a model that was not trained to infill, also what repeats a long line further below: it goes
    on to what it expects, and does not know that it is there.
    """
    text, right = candidate.text, candidate.right.rstrip()
    if not set(right) <= {*CLOSERS, *QUOTES, " "}:  # the edit's range replaces closers
        most = min(len(right), len(text))  # the line may be very long
        shared = next((n for n in range(most, 0, -1) if text.endswith(right[:n])), 0)
        if shared == len(right) or shared >= MIN_REPEATED:
            text = text[: len(text) - shared]
    repeated = {line for line in (candidate.next_line,) if len(line) >= MIN_REPEATED}
    if not candidate.infills:
        below = islice(candidate.lines_below, LINES_BELOW)
        repeated |= {line for line in below if len(line) >= LONG_LINE}
    lines = text.split("\n")
    for n, line in enumerate(lines):
        first = candidate.left + line + ("" if len(lines) > 1 else candidate.right)
        if (first if n == 0 else line).strip() in repeated:
            return "\n".join(lines[:n])
    return text


def repeats_left(candidate: Candidate) -> str:
    """Remove text that begins with the name in front of the cursor."""
    name = NAME_AT_END.search(candidate.left)
    if name is None or len(name[0]) < MIN_REPEATED or not candidate.text.startswith(name[0]):
        return candidate.text
    return candidate.text if WORD.match(candidate.text, len(name[0])) else ""


def joins_word(candidate: Candidate) -> str:
    """Remove text that would run into the word behind the cursor."""
    joined = WORD.match(candidate.right) and WORD.match(candidate.text[-1:])
    return "" if joined else candidate.text


def unbalanced_brackets(candidate: Candidate) -> str:
    """Cut at the first bracket that closes nothing."""
    unmatched, _ = scan(candidate.text)
    if not unmatched:
        return candidate.text
    start = max(0, candidate.offset - BRACKET_WINDOW)
    _, due = scan(candidate.tree.text[start : candidate.offset])
    for index in unmatched:
        if not due or due.pop() != candidate.text[index]:
            return candidate.text[:index]
    return candidate.text


def wrong_indentation(candidate: Candidate) -> str:
    """Cut at the first line that is not indented in the file's unit of tabs or spaces."""
    text, offset = candidate.tree.text, candidate.offset
    # the letter makes a blank line at the cursor count
    unit = indentation_unit(text[:offset] + "x" + text[offset : offset + BRACKET_WINDOW])
    if unit is None:
        return candidate.text
    kept: list[str] = []
    in_brackets = False
    for n, line in enumerate(candidate.text.split("\n")):
        indent = line[: len(line) - len(line.lstrip(" \t"))]
        foreign = indent.replace(unit[0], "")
        # inside brackets, lines may be aligned to any column
        if n and line.strip() and not in_brackets and (foreign or len(indent) % len(unit)):
            break
        kept.append(line)
        in_brackets = bool(scan(candidate.left[-BRACKET_WINDOW:] + "\n".join(kept))[1])
    return "\n".join(kept)


def repetition_loop(candidate: Candidate) -> str:
    """Cut after the first occurrence of lines or text that repeat several times."""
    lines = candidate.text.split("\n")
    for n in range(len(lines) - 2):
        if lines[n].strip() and lines[n] == lines[n + 1] == lines[n + 2]:
            return "\n".join(lines[: n + 1])
    for match in LOOPS.finditer(candidate.text):
        repeated = match[1] or match[2]
        if any(character.isalnum() for character in repeated):
            kept = candidate.text[: match.start() + len(repeated)]
            return kept.rpartition("\n")[0]
    return candidate.text


def breaks_parse(candidate: Candidate) -> str:
    """Remove lines from the end until the text adds no syntax error.

    A line that was cut is no whole statement, so an error says nothing about it.
    """
    tree, offset = candidate.tree, candidate.offset
    if tree.language is None or (candidate.is_cut and "\n" not in candidate.text):
        return candidate.text
    lines = candidate.text.split("\n")
    start = max(0, offset - ERROR_WINDOW)
    end = min(len(tree.text), offset + ERROR_WINDOW)
    errors_before = tree.count_errors(Span(start, end))
    while lines:
        text = "\n".join(lines)
        if _is_unfinished(candidate, text):
            return text
        with_text = tree.text[:offset] + text + tree.text[offset:]
        errors = parse(with_text, tree.language, tree).count_errors(Span(start, end + len(text)))
        if errors <= errors_before:
            return text
        lines.pop()
    return ""


FILTERS: Mapping[Reason, Filter] = {
    "repetition_loop": repetition_loop,
    "repeats_suffix": repeats_suffix,
    "repeats_left": repeats_left,
    "joins_word": joins_word,
    "unbalanced_brackets": unbalanced_brackets,
    "wrong_indentation": wrong_indentation,
    "breaks_parse": breaks_parse,
}
"""In the order in which they are applied."""


def apply(candidate: Candidate) -> tuple[str, Reason | None]:
    """The text that all filters leave; if it is empty, the filter that removed the rest."""
    for reason, shorten in FILTERS.items():
        kept = shorten(candidate).rstrip()
        if not kept:
            return "", reason
        candidate = replace(candidate, text=kept)
    return candidate.text, None


def _is_unfinished(candidate: Candidate, text: str) -> bool:
    """Whether the text ends where more must follow, so that a syntax error is expected."""
    last_line = (candidate.left + text).rpartition("\n")[2].strip()
    if candidate.right.strip():
        return False
    return last_line.endswith((*OPENERS, *CONTINUED, ":")) or last_line.startswith("@")
