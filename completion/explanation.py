"""What the model is given at a cursor, piece by piece, and what it makes of it.

The pieces come from the functions that serve: put together, their ids are `model_input`'s.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from code_context.completion_kind import decide
from code_context.context import Context, ContextConfig
from code_context.languages import language_of
from code_context.retrieval import Retriever
from code_context.snippets import SnippetCandidate
from code_context.source_files import exclusion_reason
from code_context.syntax import SyntaxTree, parse
from code_model.language_model import Session
from completion.pipeline import MAX_NEW_TOKENS, complete, context_at, model_input
from completion.reasons import Reason
from completion.request import CompletionResult


@dataclass(frozen=True)
class Piece:
    """Consecutive ids of the input. `source` is "recent", "similar" or "definition" for code of
    other files, "header", "suffix", "prefix" or "middle" for the open one. `line` counts from 0.
    """

    source: str
    path: str
    line: int
    score: float | None
    ids: tuple[int, ...]
    text: str


@dataclass(frozen=True)
class Token:
    """A new token and its probability (0 to 1)."""

    text: str
    probability: float


@dataclass(frozen=True)
class Explanation:
    """All that decides a completion. `notes` are sentences about what is missing and why.

    `next_letter` counts the tokens that one more typed letter would have computed: all the rest
    would come from the cache.
    """

    kind: str
    reason: Reason | None
    pieces: tuple[Piece, ...]
    left_out: tuple[SnippetCandidate, ...]
    completion: CompletionResult
    tokens: tuple[Token, ...]
    prompt_tokens: int
    next_letter: int
    notes: tuple[str, ...]

    @property
    def input_tokens(self) -> int:
        """Tokens of all pieces."""
        return sum(len(piece.ids) for piece in self.pieces)


def explain(
    engine: Session,
    text: str,
    path: str,
    offset: int,
    *,
    config: ContextConfig | None = None,
    repository: Retriever | None = None,
) -> Explanation:
    """Explain what would be suggested, unasked, at `offset` (code points) of the file `path`."""
    config = config or engine.context
    tree = parse(text, language_of(path))
    decision = decide(tree, offset)
    room = engine.room(MAX_NEW_TOKENS.get(decision.kind, max(MAX_NEW_TOKENS.values())))
    context = context_at(
        engine.model, tree, path, offset, config=config, room=room, repository=repository
    )
    ids = engine.model.encoder.encode(context)
    typed = parse(text[:offset] + "x" + text[offset:], tree.language)
    further = model_input(
        engine.model, typed, path, offset + 1, config=config, room=room, repository=repository
    )
    found = complete(engine, text, path, offset, config=config, repository=repository)
    said = found.generation
    return Explanation(
        kind=decision.kind.value,
        reason=found.reason,
        pieces=tuple(_pieces(engine, context, tree, offset)),
        left_out=tuple(one for one in context.candidates if one.reason is not None),
        completion=found,
        tokens=tuple(
            Token(engine.model.tokenizer.decode([one]), _probability(logprob))
            for one, logprob in zip(said.ids, said.logprobs, strict=True)
        )
        if said is not None
        else (),
        prompt_tokens=engine.num_virtual_tokens,
        next_letter=len(further) - _shared(ids, further),
        notes=tuple(_notes(tree, path, repository)),
    )


def _pieces(engine: Session, context: Context, tree: SyntaxTree, offset: int) -> Iterator[Piece]:
    """In the order of the input."""
    here = tree.lines.line_of(offset)
    first_lines = {"header": 0, "prefix": tree.lines.line_of(offset - len(context.prefix))}
    for segment in engine.model.encoder.render(context):
        snippet, role = segment.snippet, segment.role
        if snippet is None:
            line = first_lines.get(role, here)
            yield Piece(role, context.path, line, None, segment.ids, segment.text)
        else:
            yield Piece(
                snippet.source, snippet.path, snippet.line, snippet.score, segment.ids, snippet.text
            )


def _notes(tree: SyntaxTree, path: str, repository: Retriever | None) -> Iterator[str]:
    if tree.language is None:
        known = language_of(path)
        yield (
            "The file is too large to be parsed: only the plain window is given."
            if known is not None
            else "No grammar knows this kind of file: only the plain window is given."
        )
    hidden = exclusion_reason(tree.text)
    if hidden is not None:
        yield f"Other files never see this one ({hidden})."
    if repository is None:
        yield "The file lies in no repository: no other file is given."
        return
    if repository.problem is not None:
        yield f"No other file is given: {repository.problem}."
        return
    for reason, count in sorted(repository.excluded_files().items()):
        yield f"{count} file{'s are' if count > 1 else ' is'} left out: {reason}."


def _probability(logprob: float) -> float:
    return math.exp(min(0.0, logprob))


def _shared(one: list[int], other: list[int]) -> int:
    count = 0
    for mine, theirs in zip(one, other, strict=False):
        if mine != theirs:
            break
        count += 1
    return count
