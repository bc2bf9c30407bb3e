"""Decide from the syntax what kind of completion fits the cursor, before the model runs."""

from dataclasses import dataclass
from enum import Enum
from typing import Literal

from code_context.languages import Language, languages
from code_context.syntax import SyntaxTree
from code_context.unterminated import unterminated_text_at

# what the line before a block ends with, by the language's kind of block
BLOCK_OPENINGS = {"indentation": ":", "braces": "{", "end": ""}
MAX_STATEMENT = 4_000  # characters that are searched for the start of a statement
TAB_SIZE = 8
SilenceReason = Literal["inside_word", "in_string", "in_comment"]


class CompletionKind(Enum):
    """NONE: no completion. LINE: up to the end of the line. BLOCK: a whole indented block."""

    NONE = "none"
    LINE = "line"
    BLOCK = "block"


@dataclass(frozen=True)
class Decision:
    """A kind, and the reason if it is NONE."""

    kind: CompletionKind
    reason: SilenceReason | None = None


def decide(tree: SyntaxTree, offset: int, *, explicit: bool = False) -> Decision:
    """The kind for a cursor. Strings and comments are completed on an `explicit` request only."""
    text, lines = tree.text, tree.lines
    line = lines.line_of(offset)
    left = text[lines.starts[line] : offset]
    right = text[offset : lines.content_end(line)]
    if right[:1].isidentifier() and left[-1:].isidentifier():
        return Decision(CompletionKind.NONE, "inside_word")
    text_kind = tree.string_or_comment_at(offset) or unterminated_text_at(tree, offset)
    if text_kind is not None and not explicit:
        return Decision(CompletionKind.NONE, "in_string" if text_kind == "string" else "in_comment")
    language = languages().get(tree.language or "")
    is_line_end = text_kind is None and not right.strip()
    if language is not None and is_line_end and _needs_block(tree, language, line, left):
        return Decision(CompletionKind.BLOCK)
    return Decision(CompletionKind.LINE)


def _needs_block(tree: SyntaxTree, language: Language, line: int, left: str) -> bool:
    """Whether a block must start at the cursor, on `line` after `left`, and is still empty."""
    lines = tree.lines
    header = line
    if not left.strip():
        header -= 1
        while header >= 0 and not lines.line_text(header).strip():
            header -= 1
    if header < 0:
        return False
    opener = (left if header == line else lines.line_text(header)).rstrip()
    end = lines.starts[header] + len(opener)
    if not opener.endswith(BLOCK_OPENINGS[language.block]):
        return False
    if tree.string_or_comment_at(end) is not None:
        return False
    if language.block == "end" and header == line:  # the statement may continue on the line
        return False
    first = _statement_start(tree, header)
    statement = tree.text[lines.starts[first] : end]
    if not language.opener.match(" ".join(statement.split())):
        return False
    outer = _indentation(lines.line_text(first))
    if header != line and left and _indentation(left) <= outer:
        return False
    below = (lines.line_text(n) for n in range(line + 1, lines.line_count))
    next_code = next((text for text in below if text.strip()), "")
    return not next_code or _indentation(next_code) <= outer


def _statement_start(tree: SyntaxTree, line: int) -> int:
    """The first line of the statement that ends on `line`: a signature may take several lines."""
    end = tree.lines.content_end(line)
    text = tree.text
    depth, offset = 0, end
    while offset > 0:
        offset -= 1
        character = text[offset]
        if character in ")]}":
            depth += 1
        elif character in "([{":
            depth -= 1
        elif character in "\r\n" and depth <= 0:
            return tree.lines.line_of(offset + 1)
        if end - offset > MAX_STATEMENT:
            return line
    return 0


def _indentation(line: str) -> int:
    """Columns of white space at the start of a line."""
    expanded = line.expandtabs(TAB_SIZE)
    return len(expanded) - len(expanded.lstrip(" "))
