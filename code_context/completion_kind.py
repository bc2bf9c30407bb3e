"""What kind of completion fits the cursor, decided from the syntax before the model is paid."""

from dataclasses import dataclass
from enum import Enum
from typing import Literal

from code_context.languages import Language, languages
from code_context.syntax import SyntaxTree

# what the line before a block ends with, by how a language marks blocks
BLOCK_BEGINS = {"indentation": ":", "braces": "{", "end": ""}


class CompletionKind(Enum):
    """NONE: stay silent. LINE: up to the end of the line. BLOCK: a whole indented block."""

    NONE = "none"
    LINE = "line"
    BLOCK = "block"


@dataclass(frozen=True)
class Decision:
    """A kind, and the reason when it is NONE."""

    kind: CompletionKind
    reason: Literal["inside_word", "in_string", "in_comment"] | None = None


def decide(tree: SyntaxTree, offset: int, *, explicit: bool = False) -> Decision:
    """Decide for a cursor; when the user asked (`explicit`), strings and comments too."""
    text, lines = tree.text, tree.lines
    line = lines.line_of(offset)
    left = text[lines.starts[line] : offset]
    right = text[offset : lines.content_end(line)]
    if right[:1].isidentifier() and left[-1:].isidentifier():
        return Decision(CompletionKind.NONE, "inside_word")
    where = tree.string_or_comment_at(offset)
    if where is not None and not explicit:
        return Decision(CompletionKind.NONE, "in_string" if where == "string" else "in_comment")
    language = languages().get(tree.language or "")
    open_end = where is None and not right.strip()
    if language is not None and open_end and _body_waits(tree, language, line, left):
        return Decision(CompletionKind.BLOCK)
    return Decision(CompletionKind.LINE)


def _body_waits(tree: SyntaxTree, language: Language, line: int, left: str) -> bool:
    """Whether the cursor stands where a block must begin and has nothing in it yet."""
    lines = tree.lines
    header = line
    if not left.strip():
        header -= 1
        while header >= 0 and not lines.line_text(header).strip():
            header -= 1
    if header < 0:
        return False
    opener = left if header == line else lines.line_text(header)
    end = lines.starts[header] + len(opener.rstrip())
    begins = BLOCK_BEGINS[language.block]
    if not opener.rstrip().endswith(begins) or tree.string_or_comment_at(end) is not None:
        return False
    if language.block == "end" and header == line:  # the line itself may go on
        return False
    first = _statement_start(tree, header)
    statement = tree.text[lines.starts[first] : end]
    if not language.opener.match(" ".join(statement.split())):
        return False
    outer = _width(lines.line_text(first))
    if header != line and left and _width(left) <= outer:
        return False
    following = (lines.line_text(n) for n in range(line + 1, lines.line_count))
    after = next((text for text in following if text.strip()), "")
    return not after or _width(after) <= outer


def _statement_start(tree: SyntaxTree, line: int) -> int:
    """The first line of the statement that `line` ends: a signature may take several."""
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
        if end - offset > 4000:  # no signature is that long
            return line
    return 0


def _width(line: str) -> int:
    expanded = line.expandtabs(8)
    return len(expanded) - len(expanded.lstrip(" "))
