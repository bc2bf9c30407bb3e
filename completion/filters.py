"""Named rules that shorten a suggestion or silence it before anybody sees it.

Each takes a `Candidate` and returns what may stay of its text. When nothing does, the rule's name
is the reason that the answer is empty.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from code_context.brackets import CLOSERS, OPENERS, QUOTES, scan
from code_context.syntax import Span, SyntaxTree, parse

WORD = re.compile(r"\w")
NAME_AT_END = re.compile(r"[\w.]*\w\Z")
TRIVIAL = 4  # characters: shorter lines repeat by chance (a bracket, `else`)
SCANNED = 4_000  # characters before the cursor in which an opening bracket is looked for
NEAR = 2_000  # characters on both sides in which an error counts
LOOPS = re.compile(r"(.{3,40}?)\1{4}|(.{10,200}?)\2{2}", re.DOTALL)
INDENTED = re.compile(r"^([ \t]+)\S", re.MULTILINE)
GOES_ON = ("(", "[", "{", ",", "\\")  # the rest of such a line is still to come


@dataclass(frozen=True)
class Candidate:
    """`text`, which may have several lines, is to be inserted at `offset` of the tree's text."""

    tree: SyntaxTree
    offset: int
    text: str

    @property
    def left(self) -> str:
        """The cursor's line before it."""
        lines = self.tree.lines
        return self.tree.text[lines.starts[lines.line_of(self.offset)] : self.offset]

    @property
    def right(self) -> str:
        """The cursor's line behind it."""
        lines = self.tree.lines
        return self.tree.text[self.offset : lines.content_end(lines.line_of(self.offset))]

    @property
    def next_line(self) -> str:
        """The first line with something in it below the cursor's, stripped."""
        lines = self.tree.lines
        below = range(lines.line_of(self.offset) + 1, lines.line_count)
        return next((text for n in below if (text := lines.line_text(n).strip())), "")


Rule = Callable[[Candidate], str]


def repeats_suffix(candidate: Candidate) -> str:
    """What stands behind the cursor, or on the next line, is not written again."""
    text, right = candidate.text, candidate.right.rstrip()
    if not set(right) <= {*CLOSERS, *QUOTES, " "}:  # those, the edit's range replaces
        shared = next((n for n in range(len(right), 0, -1) if text.endswith(right[:n])), 0)
        if shared == len(right) or shared >= TRIVIAL:
            text = text[: len(text) - shared]
    following = candidate.next_line
    if len(following) < TRIVIAL:
        return text
    lines = text.split("\n")
    for n, line in enumerate(lines):
        whole = candidate.left + line + ("" if len(lines) > 1 else candidate.right)
        if (whole if n == 0 else line).strip() == following:
            return "\n".join(lines[:n])
    return text


def repeats_left(candidate: Candidate) -> str:
    """The name that stands in front of the cursor is not written once more onto itself."""
    found = NAME_AT_END.search(candidate.left)
    if found is None or len(found[0]) < TRIVIAL or not candidate.text.startswith(found[0]):
        return candidate.text
    return candidate.text if WORD.match(candidate.text, len(found[0])) else ""


def joins_word(candidate: Candidate) -> str:
    """The suggestion does not grow together with the word behind the cursor."""
    together = WORD.match(candidate.right) and WORD.match(candidate.text[-1:])
    return "" if together else candidate.text


def unbalanced_brackets(candidate: Candidate) -> str:
    """No bracket is closed that nothing has opened."""
    unmatched, _ = scan(candidate.text)
    if not unmatched:
        return candidate.text
    begin = max(0, candidate.offset - SCANNED)
    _, due = scan(candidate.tree.text[begin : candidate.offset])
    for place in unmatched:
        if not due or due.pop() != candidate.text[place]:
            return candidate.text[:place]
    return candidate.text


def wrong_indentation(candidate: Candidate) -> str:
    """Lines are indented as the file's are: by tabs or by spaces, in its unit."""
    found = INDENTED.findall(candidate.tree.text[: candidate.offset + SCANNED])
    if own := candidate.left[: len(candidate.left) - len(candidate.left.lstrip(" \t"))]:
        found.append(own)
    if not found:
        return candidate.text
    tabs = sum(one.startswith("\t") for one in found) * 2 > len(found)
    widths = [len(one) for one in found if "\t" not in one]
    unit = 1 if tabs else min(widths, default=1)
    kept, depth = [], 0
    for n, line in enumerate(candidate.text.split("\n")):
        own = line[: len(line) - len(line.lstrip(" \t"))]
        strange = own.replace("\t", "") if tabs else own.replace(" ", "")
        # inside brackets lines are aligned freely
        if n and line.strip() and not depth and (strange or len(own) % unit):
            break
        kept.append(line)
        opened = scan(candidate.left + "\n".join(kept))[1]
        depth = len(opened)
    return "\n".join(kept)


def repetition_loop(candidate: Candidate) -> str:
    """A text that goes round in circles ends before the second round."""
    lines = candidate.text.split("\n")
    for n in range(len(lines) - 2):
        if lines[n].strip() and lines[n] == lines[n + 1] == lines[n + 2]:
            return "\n".join(lines[: n + 1])
    for match in LOOPS.finditer(candidate.text):
        round_ = match[1] or match[2]
        if any(character.isalnum() for character in round_):
            kept = candidate.text[: match.start() + len(round_)]
            return kept.rpartition("\n")[0]
    return candidate.text


def breaks_parse(candidate: Candidate) -> str:
    """No syntax error is added: the last lines go until none is, the only line goes altogether."""
    tree, offset = candidate.tree, candidate.offset
    if tree.language is None:
        return candidate.text
    lines = candidate.text.split("\n")
    near = max(0, offset - NEAR), min(len(tree.text), offset + NEAR)
    before = tree.errors_in(Span(*near))
    while lines:
        text = "\n".join(lines)
        if _unfinished(candidate, text):
            return text
        with_text = tree.text[:offset] + text + tree.text[offset:]
        after = parse(with_text, tree.language, tree)
        if after.errors_in(Span(near[0], near[1] + len(text))) <= before:
            return text
        lines.pop()
    return ""


RULES: tuple[Rule, ...] = (
    repetition_loop,
    repeats_suffix,
    repeats_left,
    joins_word,
    unbalanced_brackets,
    wrong_indentation,
    breaks_parse,
)


def apply(candidate: Candidate, rules: tuple[Rule, ...] = RULES) -> tuple[str, str | None]:
    """What stays of the candidate's text, and the name of the rule that left nothing of it."""
    for rule in rules:
        kept = rule(candidate).rstrip()
        if not kept:
            return "", rule.__name__
        candidate = replace(candidate, text=kept)
    return candidate.text, None


def _unfinished(candidate: Candidate, text: str) -> bool:
    """Whether the text ends where more must follow, so that an error is no fault of it."""
    last = (candidate.left + text).rpartition("\n")[2].strip()
    if candidate.right.strip():
        return False
    return last.endswith((*OPENERS, *GOES_ON, ":")) or last.startswith("@")
