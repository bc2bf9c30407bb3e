"""From text and cursor to the model's input: the same for serving, tuning and pretraining."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Self

from code_context.context import Context, ContextConfig, build_context
from code_context.languages import language_of
from code_context.retrieval import Retriever
from code_context.snippets import Snippet
from code_context.source_text import with_line_feeds
from code_context.syntax import SyntaxTree, parse
from code_model.fim import FimEncoder

RESERVED_TOKENS = 64
"""For separators, the path, and pieces that have more tokens once they are joined."""


@dataclass(frozen=True)
class CompletionPoint:
    """A cursor in a file, and what its context is made of.

    `path` is relative to the file's repository, `offset` counts code points. `retriever` finds
    snippets in other files; None gives none. `config` None means the context that the session's
    prompt was tuned with; without a session, the default. `room` is the number of tokens for the
    whole input; where the budgets of `config` exceed it, all of them shrink in proportion.
    `newline` is what ends the lines of the file; in `tree` it is always `\\n`, as models learnt it.
    """

    tree: SyntaxTree
    path: str
    offset: int
    retriever: Retriever | None = None
    config: ContextConfig | None = None
    room: int | None = None
    newline: str = "\n"

    @classmethod
    def parse(
        cls,
        text: str,
        path: str,
        offset: int,
        retriever: Retriever | None = None,
        config: ContextConfig | None = None,
        parser: Callable[[str], SyntaxTree] | None = None,
    ) -> Self:
        """The point in a text. `parser` by default takes the language of the path."""
        newline = "\r\n" if "\r\n" in text else "\n"
        if text[offset - 1 : offset + 1] == "\r\n":
            offset -= 1
        offset = len(with_line_feeds(text[:offset]))
        text = with_line_feeds(text)
        tree = parse(text, language_of(path)) if parser is None else parser(text)
        return cls(tree, path, offset, retriever, config, newline=newline)


def context_at(encoder: FimEncoder, point: CompletionPoint) -> Context:
    """The context of a point, within its budgets as counted by the encoder's tokenizer."""
    config = point.config or ContextConfig()
    rooms = (point.room, encoder.template.max_input_tokens)
    room = min((room for room in rooms if room is not None), default=None)
    snippets: Sequence[Snippet] = ()
    if point.retriever is None:
        config = replace(config, max_snippet_tokens=0)
    else:
        snippets = point.retriever.snippets(point.tree, point.path, point.offset)
    return build_context(
        point.tree,
        point.path,
        point.offset,
        config=config if room is None else _shrunk(config, room),
        count_tokens=encoder.count,
        snippets=snippets,
    )


def model_input(encoder: FimEncoder, point: CompletionPoint) -> list[int]:
    """Ids of everything before the middle."""
    return input_and_typed(encoder, point)[0]


def input_and_typed(encoder: FimEncoder, point: CompletionPoint) -> tuple[list[int], str]:
    """Ids of everything before the middle, and the typed text with which the middle must begin
    (token healing), because these ids stop before it; often the end of a token."""
    context = context_at(encoder, point)
    return encoder.encode(context), encoder.typed(context.prefix)


def _shrunk(config: ContextConfig, room: int) -> ContextConfig:
    local = config.max_prefix_tokens + config.max_suffix_tokens + config.max_header_tokens
    share = (room - RESERVED_TOKENS) / (local + config.max_snippet_tokens)
    share = max(0.0, min(1.0, share))
    return replace(
        config,
        max_prefix_tokens=int(config.max_prefix_tokens * share),
        max_suffix_tokens=int(config.max_suffix_tokens * share),
        max_header_tokens=int(config.max_header_tokens * share),
        max_snippet_tokens=int(config.max_snippet_tokens * share),
    )
