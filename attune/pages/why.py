"""The page of `attune why`: what the model is given at a position, piece by piece, in colours."""

from typing import TYPE_CHECKING

from attune.pages.template import render
from attune.show_why import SOURCES, answer, cache_sentences, location, totals, visible

if TYPE_CHECKING:
    from attune.cursor import CursorPosition
    from completion.explanation import Explanation

# light backgrounds for dark text
COLOURS = {
    "recent": "#fde2c8",
    "similar": "#d8ecd2",
    "definition": "#d5e3f7",
    "header": "#ece2f6",
    "suffix": "#f3f0d7",
    "prefix": "#e8e8e8",
    "middle": "#f7d7dc",
}


def why_page(
    position: "CursorPosition",
    explanation: "Explanation",
    serving: str,
    silent: str | None,
    served: str | None = None,
) -> str:
    """Self-contained HTML about an explanation.

    `serving` names the prompt, or says why there is none; `silent` says why nothing is suggested
    (None if something is); `served` is what the editor's server reports about its last completion.
    """
    return render(
        "why",
        path=position.path,
        line=position.text.count("\n", 0, position.offset) + 1,
        answer=answer(explanation, silent),
        tokens=[
            {
                "text": visible(token.text),
                "probability": f"{100 * token.probability:.1f} %",
                "hue": round(120 * token.probability),  # red for a guess, green for certainty
            }
            for token in explanation.tokens
        ],
        totals=[
            (f"prompt, resident: {serving}", explanation.prompt_tokens),
            *totals(explanation),
            ("all but the prompt", explanation.input_tokens),
        ],
        caches=list(cache_sentences(explanation, served)),
        notes=explanation.notes,
        pieces=[
            {
                "source": SOURCES[piece.source],
                "colour": COLOURS[piece.source],
                "details": _details(piece.path, piece.line, piece.score, len(piece.ids)),
                "text": piece.text,
            }
            for piece in explanation.pieces
        ],
        left_out=[
            {
                "source": SOURCES[candidate.snippet.source],
                "details": _details(
                    candidate.snippet.path,
                    candidate.snippet.line,
                    candidate.snippet.score,
                    candidate.tokens,
                )
                + f": {candidate.reason or ''}",
                "text": candidate.snippet.text,
            }
            for candidate in explanation.left_out
        ],
    )


def _details(path: str, line: int, score: float | None, tokens: int) -> str:
    scored = "" if score is None else f", score {score:.2f}"
    return f"{location(path, line)}{scored}, {tokens} tokens"
