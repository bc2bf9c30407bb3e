"""Explanation of a completion: the parts of the model's input, and the probabilities of the text.

The parts are built by the functions that serve: joined, their ids are those of `model_input`.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from code_context.completion_kind import CompletionKind, decide
from code_context.context import Context
from code_context.languages import language_of
from code_context.retrieval import Retriever
from code_context.snippets import SnippetCandidate
from code_context.source_files import exclusion_reason
from code_context.syntax import SyntaxTree, parse
from code_model.fim import FimEncoder
from code_model.kv_reuse import common_length
from code_model.language_model import Session
from code_model.sureness import Sureness
from completion.model_input import CompletionPoint, context_at, model_input
from completion.pipeline import MAX_NEW_TOKENS, complete, in_session
from completion.request import CompletionResult


@dataclass(frozen=True)
class Piece:
    """Consecutive ids of the input.

    `source` is "recent", "similar" or "definition" for code of other files; "header", "suffix",
    "prefix" or "middle" for the open file. `line` counts from 0.
    """

    source: str
    path: str
    line: int
    score: float | None
    ids: tuple[int, ...]
    text: str


@dataclass(frozen=True)
class Token:
    """A generated token and its probability (0 to 1)."""

    text: str
    probability: float


@dataclass(frozen=True)
class Explanation:
    """Everything that decides a completion.

    `left_out`: snippets that were not used. `next_letter`: tokens to compute after one more typed
    letter; the rest is in the KV cache. `notes`: sentences about what is not in the input.
    """

    result: CompletionResult
    pieces: tuple[Piece, ...]
    left_out: tuple[SnippetCandidate, ...]
    tokens: tuple[Token, ...]
    prompt_tokens: int
    next_letter: int
    notes: tuple[str, ...]

    @property
    def kind(self) -> str:
        """The kind of completion: "none", "line" or "block"."""
        return (self.result.kind or CompletionKind.NONE).value

    @property
    def input_tokens(self) -> int:
        """Tokens of all pieces."""
        return sum(len(piece.ids) for piece in self.pieces)


def explain(
    session: Session, point: CompletionPoint, sureness: Sureness = "balanced"
) -> Explanation:
    """Explain the automatic completion at a point, at the show threshold of a step."""
    encoder = session.model.encoder
    kind = decide(point.tree, point.offset).kind
    max_new_tokens = MAX_NEW_TOKENS.get(kind, max(MAX_NEW_TOKENS.values()))
    point = in_session(point, session, max_new_tokens)
    context = context_at(encoder, point)
    result = complete(session, point, threshold=session.show_thresholds.at(sureness))
    return Explanation(
        result=result,
        pieces=tuple(_pieces(encoder, context, point)),
        left_out=tuple(
            candidate for candidate in context.candidates if candidate.reason is not None
        ),
        tokens=tuple(_tokens(session, result)),
        prompt_tokens=session.num_virtual_tokens,
        next_letter=_next_letter(encoder, encoder.encode(context), point),
        notes=(
            *_typed_note(encoder.typed(context.prefix)),
            *_notes(point.tree, point.path, point.retriever),
        ),
    )


def _pieces(encoder: FimEncoder, context: Context, point: CompletionPoint) -> Iterator[Piece]:
    """In the order of the input."""
    lines = point.tree.lines
    cursor_line = lines.line_of(point.offset)
    first_lines = {"header": 0, "prefix": lines.line_of(point.offset - len(context.prefix))}
    for segment in encoder.render(context):
        snippet, role = segment.snippet, segment.role
        if snippet is None:
            line = first_lines.get(role, cursor_line)
            yield Piece(role, context.path, line, None, segment.ids, segment.text)
        else:
            yield Piece(
                snippet.source, snippet.path, snippet.line, snippet.score, segment.ids, snippet.text
            )


def _tokens(session: Session, result: CompletionResult) -> Iterator[Token]:
    generation = result.generation
    if generation is None:
        return
    for token, logprob in zip(generation.ids, generation.logprobs, strict=True):
        probability = math.exp(min(0.0, logprob))  # rounding may give a little more than 0
        yield Token(session.model.tokenizer.decode([token]), probability)


def _next_letter(encoder: FimEncoder, ids: list[int], point: CompletionPoint) -> int:
    """How many ids the input does not share once a letter is typed."""
    text, offset = point.tree.text, point.offset
    typed = parse(text[:offset] + "x" + text[offset:], point.tree.language)
    next_ids = model_input(encoder, replace(point, tree=typed, offset=offset + 1))
    return len(next_ids) - common_length(ids, next_ids)


def _typed_note(typed: str) -> Iterator[str]:
    if typed:
        yield (
            f"The input stops before {typed!r}: the model writes it again, as the beginning of a "
            "token that may be longer."
        )


def _notes(tree: SyntaxTree, path: str, retriever: Retriever | None) -> Iterator[str]:
    if tree.language is None:
        yield (
            "The file is too large to be parsed: only the plain window is given."
            if language_of(path) is not None
            else "No grammar knows this kind of file: only the plain window is given."
        )
    exclusion = exclusion_reason(tree.text)
    if exclusion is not None:
        yield f"Other files never see this one ({exclusion})."
    if retriever is None:
        yield "The file is in no repository: no other file is given."
        return
    if retriever.problem is not None:
        yield f"No other file is given: {retriever.problem}."
        return
    for reason, count in sorted(retriever.excluded_files().items()):
        yield f"{count} file{'s are' if count > 1 else ' is'} left out: {reason}."
