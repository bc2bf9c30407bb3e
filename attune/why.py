"""`attune why`: what the model is given at a place, piece by piece, and why."""

from collections.abc import Iterable, Iterator
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from attune.output import PROBLEM, Json, print_json, say

if TYPE_CHECKING:
    from attune.cursor import CursorPosition
    from completion.explanation import Explanation

# what each source is called, and its colour on the page (light background, dark text)
SOURCES = {
    "recent": ("recently edited or viewed", "#fde2c8"),
    "similar": ("similar code", "#d8ecd2"),
    "definition": ("definitions", "#d5e3f7"),
    "header": ("header of the open file", "#ece2f6"),
    "suffix": ("behind the cursor", "#f3f0d7"),
    "prefix": ("before the cursor", "#e8e8e8"),
    "middle": ("the place to fill", "#f7d7dc"),
}
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
  color: #1d1d1f; background: #fff }
table { border-collapse: collapse } td, th { padding: .2rem .8rem .2rem 0; text-align: left }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums }
section { margin: .6rem 0; border-left: 4px solid #0003; padding: .3rem .8rem; border-radius: 3px }
pre { margin: .3rem 0; white-space: pre-wrap; overflow-wrap: anywhere; font-size: 13px }
small { color: #444 } .token { border-bottom: 3px solid; padding: 0 1px }
"""


def why(
    place: Annotated[
        str, typer.Argument(metavar="FILE:LINE:COL", help="As editors show it: 1-based.")
    ],
    prompt: Annotated[
        str | None, typer.Option(help="Prompt file, or none. Default: the repository's.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="Write a page, with the pieces coloured, to this file.")
    ] = None,
    served: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT", help="What the editor's server says of its last answer (attune/why)."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what the model is given at a place, what it makes of it, and why."""
    from attune.cursor import read_cursor_position
    from attune.prompt_choice import choose_prompt
    from attune.repository_index import open_retriever
    from attune.show import waiting

    at = read_cursor_position(place)
    neighbours = open_retriever(at.root)
    with waiting("Loading the model and asking it…"):
        from code_model.decoder.session import Engine
        from code_model.loading import load_model
        from completion.explanation import explain
        from completion.reasons import REASONS

        base = load_model()
        choice = choose_prompt(at, prompt, base)
        engine = Engine(base, choice.prompt)
        found = explain(engine, at.text, at.path, at.offset, repository=neighbours)
    loaded = choice.prompt
    serving = f"no prompt ({choice.reason})" if loaded is None else loaded.manifest.name
    problems = (*(() if at.notice is None else (at.notice,)), *choice.problems)
    for problem in problems:
        say(problem)
    silent = None if found.reason is None else REASONS[found.reason]
    if html is not None:
        write_page(html, page(at, found, serving, silent, served))
        say(f"written to {html}")
    if as_json:
        print_json(_json(at, found, serving, served))
    elif html is None:
        _show(found, serving, silent, served)
    if not found.completion.text:
        raise typer.Exit(PROBLEM)


def write_page(file: Path, content: str) -> None:
    """Write the page in one step. Raises `typer.BadParameter` if it cannot be written."""
    from prompts.atomic_write import replace_file

    try:
        replace_file(file, content.encode(errors="replace"))
    except OSError as error:
        raise typer.BadParameter(f"{file} cannot be written ({error.strerror})") from error


def page(
    at: "CursorPosition",
    found: "Explanation",
    serving: str,
    silent: str | None,
    served: str | None = None,
) -> str:
    """One self-contained page."""
    return "".join(_page(at, found, serving, silent, served))


def _page(
    at: "CursorPosition", found: "Explanation", serving: str, silent: str | None, served: str | None
) -> Iterator[str]:
    line = at.text.count("\n", 0, at.offset) + 1
    yield (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>Why: {escape(at.path)}</title><style>{STYLE}</style></head><body>"
        f"<h1>{escape(at.path)}, line {line}</h1>"
    )
    yield f"<p>{escape(_answer(found, silent))}</p>"
    if found.tokens:
        yield "<p><code>"
        for token in found.tokens:
            hue = round(120 * token.probability)  # red for a guess, green for certainty
            yield (
                f'<span class="token" style="border-color:hsl({hue} 70% 45%)" '
                f'title="{token.probability:.1%}">{escape(_visible(token.text))}</span>'
            )
        yield "</code></p><p><small>Underlined from red (a guess) to green (certain).</small></p>"
    yield "<h2>What the model is given</h2><table>"
    rows = [["source", "tokens"], ["prompt, resident: " + serving, str(found.prompt_tokens)]]
    rows += [[name, str(tokens)] for name, tokens in _totals(found)]
    rows.append(["all but the prompt", str(found.input_tokens)])
    for row in rows:
        yield f'<tr><td>{escape(row[0])}</td><td class="number">{escape(row[1])}</td></tr>'
    yield "</table>" + "".join(f"<p>{escape(one)}</p>" for one in _caches(found, served))
    yield from (f"<p><small>{escape(note)}</small></p>" for note in found.notes)
    for piece in found.pieces:
        name, colour = SOURCES[piece.source]
        yield (
            f'<section style="background:{colour}"><strong>{name}</strong> '
            f"<small>{escape(_where(piece.path, piece.line))}{_scored(piece.score)}, "
            f"{len(piece.ids)} tokens</small><pre>{escape(piece.text)}</pre></section>"
        )
    if found.left_out:
        yield "<h2>What was not shown</h2>"
    for one in found.left_out:
        snippet = one.snippet
        yield (
            f"<section><strong>{SOURCES[snippet.source][0]}</strong> <small>"
            f"{escape(_where(snippet.path, snippet.line))}{_scored(snippet.score)}, "
            f"{one.tokens} tokens: {escape(one.reason or '')}</small>"
            f"<pre>{escape(snippet.text)}</pre></section>"
        )
    yield "</body></html>\n"


def _json(
    at: "CursorPosition", found: "Explanation", serving: str, served: str | None
) -> dict[str, Any]:
    generation = found.completion.generation
    return {
        "path": at.path,
        "offset": at.offset,
        "kind": found.kind,
        "reason": found.reason,
        "text": found.completion.text,
        "prompt": {"name": serving, "tokens": found.prompt_tokens},
        "input_tokens": found.input_tokens,
        "pieces": [
            {
                "source": piece.source,
                "path": piece.path,
                "line": piece.line + 1,
                "score": piece.score,
                "tokens": len(piece.ids),
                "text": piece.text,
            }
            for piece in found.pieces
        ],
        "left_out": [
            {
                "source": one.snippet.source,
                "path": one.snippet.path,
                "line": one.snippet.line + 1,
                "score": one.snippet.score,
                "tokens": one.tokens,
                "reason": one.reason,
            }
            for one in found.left_out
        ],
        "tokens": [
            {"text": token.text, "probability": round(token.probability, 4)}
            for token in found.tokens
        ],
        "cache": {
            "computed": 0 if generation is None else generation.prefilled,
            "next_letter": found.next_letter,
            "typed_through": _typed_through(found),
            "served": served,
        },
        "notes": list(found.notes),
    }


def _show(found: "Explanation", serving: str, silent: str | None, served: str | None) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    console.print(Text(_answer(found, silent)))
    table = Table("Source", "Where", "Score", "Tokens", "Begins with", box=None)
    table.columns[3].justify = "right"
    table.add_row("prompt, resident", serving, "", str(found.prompt_tokens), "")
    for piece in found.pieces:
        table.add_row(
            SOURCES[piece.source][0],
            _where(piece.path, piece.line),
            "" if piece.score is None else f"{piece.score:.2f}",
            str(len(piece.ids)),
            Text(_head(piece.text)),
        )
    table.add_row("all but the prompt", "", "", str(found.input_tokens), "")
    console.print(table)
    if found.left_out:
        table = Table("Not shown", "Where", "Score", "Tokens", "Because", box=None)
        for one in found.left_out:
            table.add_row(
                SOURCES[one.snippet.source][0],
                _where(one.snippet.path, one.snippet.line),
                f"{one.snippet.score:.2f}",
                str(one.tokens),
                one.reason or "",
            )
        console.print(table)
    if found.tokens:
        said = (f"{_visible(token.text)} {token.probability:.0%}" for token in found.tokens)
        console.print(Text("Tokens: " + " | ".join(said)))
    for sentence in (*_caches(found, served), *found.notes):
        console.print(Text(sentence))


def _answer(found: "Explanation", silent: str | None) -> str:
    if found.completion.text:
        return f"Suggests a {found.kind}: {_head(found.completion.text)}"
    return f"Silent here: {silent}."


def _totals(found: "Explanation") -> Iterable[tuple[str, int]]:
    for source, (name, _) in SOURCES.items():
        tokens = sum(len(piece.ids) for piece in found.pieces if piece.source == source)
        if tokens:
            yield name, tokens


def _caches(found: "Explanation", served: str | None) -> Iterator[str]:
    """Which cache serves what: told by the editor's server, and what would be in one."""
    if served:
        yield f"The last answer in the editor: {served}"
    generation = found.completion.generation
    computed = 0 if generation is None else generation.prefilled
    yield (
        f"This command begins without a cache, so {computed} tokens were computed before the first "
        f"new one; in the editor one more letter would compute {found.next_letter} and find the "
        "rest in the cache of keys and values."
    )
    if typed := _typed_through(found):
        yield (
            f"Typing on with {typed!r} would be answered from the cache of completions, without "
            "the model."
        )


def _typed_through(found: "Explanation") -> str:
    """The next letters that the suggestion itself has."""
    return found.completion.text.strip("\r\n")[:3].rstrip("\r\n")


def _where(path: str, line: int) -> str:
    return f"{path}:{line + 1}"


def _scored(score: float | None) -> str:
    return "" if score is None else f", score {score:.2f}"


def _head(text: str) -> str:
    first = next((line for line in text.splitlines() if line.strip()), "")
    return first.strip()[:60]


def _visible(token: str) -> str:
    return token.replace("\r", "␍").replace("\n", "⏎").replace("\t", "⇥")
