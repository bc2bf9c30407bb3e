"""`attune why`: explain the completion at a cursor position."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from attune.model_option import ModelOption, choose_model
from attune.output import PROBLEM, Json, print_json, say
from code_model.sureness import Sureness

if TYPE_CHECKING:
    from attune.cursor import CursorPosition
    from completion.explanation import Explanation


ServedOption = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT", help="What the editor's server reports about its last completion."
    ),
]
SurenessOption = Annotated[
    Sureness, typer.Option(help="How sure a suggestion must be, as in the editor's settings.")
]


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
    served: ServedOption = None,
    sureness: SurenessOption = "balanced",
    model: ModelOption = None,
    as_json: Json = False,
) -> None:
    """Explain a completion, or why there is none.

    Shows the model's input piece by piece. Use it when a suggestion is wrong or missing.
    """
    from attune.cursor import read_cursor_position
    from attune.prompt_choice import choose_prompt
    from attune.repository_index import open_retriever
    from attune.show import waiting
    from attune.show_why import show_why

    position = read_cursor_position(place)
    retriever = open_retriever(position.root)
    with waiting("Loading the model and completing…"):
        from code_model.loading import load_model
        from completion.explanation import explain
        from completion.model_input import CompletionPoint
        from completion.reasons import REASONS

        loaded = load_model(choose_model(model, position.root))
        choice = choose_prompt(position, prompt, loaded)
        session = loaded.open(choice.prompt)
        point = CompletionPoint.parse(position.text, position.path, position.offset, retriever)
        explanation = explain(session, point, sureness)
    file = choice.prompt
    serving = f"no prompt ({choice.reason})" if file is None else file.manifest.name
    for problem in filter(None, (position.notice, *choice.problems)):
        say(problem)
    silent = None if explanation.result.reason is None else REASONS[explanation.result.reason]
    if html is not None:
        from attune.pages.template import write_page
        from attune.pages.why import why_page

        write_page(html, why_page(position, explanation, serving, silent, served))
        say(f"written to {html}")
    if as_json:
        print_json(_json(position, explanation, serving, served))
    elif html is None:
        show_why(explanation, serving, silent, served)
    if not explanation.result.text:
        raise typer.Exit(PROBLEM)


def _json(
    position: "CursorPosition", explanation: "Explanation", serving: str, served: str | None
) -> dict[str, Any]:
    from attune.show_why import typed_through

    generation = explanation.result.generation
    return {
        "path": position.path,
        "offset": position.offset,
        "kind": explanation.kind,
        "reason": explanation.result.reason,
        "text": explanation.result.text,
        "prompt": {"name": serving, "tokens": explanation.prompt_tokens},
        "input_tokens": explanation.input_tokens,
        "pieces": [
            {
                "source": piece.source,
                "path": piece.path,
                "line": piece.line + 1,
                "score": piece.score,
                "tokens": len(piece.ids),
                "text": piece.text,
            }
            for piece in explanation.pieces
        ],
        "left_out": [
            {
                "source": candidate.snippet.source,
                "path": candidate.snippet.path,
                "line": candidate.snippet.line + 1,
                "score": candidate.snippet.score,
                "tokens": candidate.tokens,
                "reason": candidate.reason,
            }
            for candidate in explanation.left_out
        ],
        "tokens": [
            {"text": token.text, "probability": round(token.probability, 4)}
            for token in explanation.tokens
        ],
        "cache": {
            "computed": 0 if generation is None else generation.prefilled,
            "next_letter": explanation.next_letter,
            "typed_through": typed_through(explanation),
            "served": served,
        },
        "notes": list(explanation.notes),
    }
