"""What `attune why` shows in the terminal, and the words that its page shares."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from completion.explanation import Explanation

SOURCES = {
    "recent": "recently edited or viewed",
    "similar": "similar code",
    "definition": "definitions",
    "header": "header of the open file",
    "suffix": "behind the cursor",
    "prefix": "before the cursor",
    "middle": "the place to fill",
}
"""The name of each source of a piece."""


def show_why(
    explanation: "Explanation", serving: str, silent: str | None, served: str | None
) -> None:
    """Print tables about an explanation. The arguments are those of `attune.pages.why.why_page`."""
    console = Console()
    console.print(Text(answer(explanation, silent)))
    console.print(_pieces(explanation, serving))
    if explanation.left_out:
        console.print(_left_out(explanation))
    if explanation.tokens:
        tokens = (
            f"{visible(token.text)} {100 * token.probability:.0f} %" for token in explanation.tokens
        )
        console.print(Text("Tokens: " + " | ".join(tokens)))
    for sentence in (*cache_sentences(explanation, served), *explanation.notes):
        console.print(Text(sentence))


def _pieces(explanation: "Explanation", serving: str) -> Table:
    table = Table("Source", "Where", "Score", "Tokens", "Begins with", box=None)
    table.columns[3].justify = "right"
    table.add_row("prompt, resident", serving, "", str(explanation.prompt_tokens), "")
    for piece in explanation.pieces:
        table.add_row(
            SOURCES[piece.source],
            location(piece.path, piece.line),
            "" if piece.score is None else f"{piece.score:.2f}",
            str(len(piece.ids)),
            Text(_first_line(piece.text)),
        )
    table.add_row("all but the prompt", "", "", str(explanation.input_tokens), "")
    return table


def _left_out(explanation: "Explanation") -> Table:
    table = Table("Not shown", "Where", "Score", "Tokens", "Because", box=None)
    for candidate in explanation.left_out:
        table.add_row(
            SOURCES[candidate.snippet.source],
            location(candidate.snippet.path, candidate.snippet.line),
            f"{candidate.snippet.score:.2f}",
            str(candidate.tokens),
            candidate.reason or "",
        )
    return table


def answer(explanation: "Explanation", silent: str | None) -> str:
    """What is suggested, or why nothing is."""
    if explanation.result.text:
        return f"Suggests a {explanation.kind}: {_first_line(explanation.result.text)}"
    return f"No suggestion: {silent}."


def totals(explanation: "Explanation") -> Iterable[tuple[str, int]]:
    """The name of each source that has pieces, with the number of its tokens."""
    for source, name in SOURCES.items():
        tokens = sum(len(piece.ids) for piece in explanation.pieces if piece.source == source)
        if tokens:
            yield name, tokens


def cache_sentences(explanation: "Explanation", served: str | None) -> Iterator[str]:
    """How the editor's last completion was made (if known), and what each cache would save."""
    if served:
        yield f"The last completion in the editor: {served}"
    generation = explanation.result.generation
    computed = 0 if generation is None else generation.prefilled
    yield (
        f"This command starts without a cache, so {computed} tokens were computed before the first "
        f"new one; in the editor one more letter would compute {explanation.next_letter} and take "
        "the rest from the KV cache."
    )
    if typed := typed_through(explanation):
        yield (
            f"If you type {typed!r} next, the result comes from the completion cache, without the "
            "model."
        )


def typed_through(explanation: "Explanation") -> str:
    """The first letters of the suggestion, which the user may type next."""
    return explanation.result.text.strip("\r\n")[:3].rstrip("\r\n")


def location(path: str, line: int) -> str:
    """`path:line` as editors show it; `line` counts from 0."""
    return f"{path}:{line + 1}"


def visible(token: str) -> str:
    """A token's text with line ends and tabs as symbols."""
    return token.replace("\r", "␍").replace("\n", "⏎").replace("\t", "⇥")


def _first_line(text: str) -> str:
    """At most 60 characters of the first line that is not blank."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    return first.strip()[:60]
