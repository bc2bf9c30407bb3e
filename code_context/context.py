"""The `Context` of a cursor: all the code that the model is given, within budgets of tokens.

The same input gives the same context. Windows start and end at lines and move in blocks, so typing
and scrolling leave most of the token ids, and with them the KV cache, unchanged.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from code_context.file_header import file_header
from code_context.snippets import (
    SNIPPET_SOURCES,
    Snippet,
    SnippetCandidate,
    SnippetSource,
    arrange,
    select_snippets,
)
from code_context.syntax import Span, SyntaxTree
from code_context.windows import prefix_start, suffix_end


@dataclass(frozen=True)
class Context:
    """What the model is given. `snippets` are in the order of the input.

    `candidates` are all retrieved snippets, also those that are not among `snippets`.
    """

    path: str
    header: str
    snippets: tuple[Snippet, ...]
    prefix: str
    suffix: str
    candidates: tuple[SnippetCandidate, ...] = ()


@dataclass(frozen=True)
class ContextConfig:
    """Budgets in tokens of the model; windows move in blocks of `block_lines` lines.

    `sources` share `max_snippet_tokens` in this order, each up to its own fraction of it; snippets
    of a source that is not listed are not used. `order` is the order of the sources in the input.
    Bounds are checked by `context_parameters.from_dict` only.
    """

    max_prefix_tokens: Annotated[int, Field(ge=1, le=16_384)] = 384
    max_suffix_tokens: Annotated[int, Field(ge=0, le=16_384)] = 128
    max_header_tokens: Annotated[int, Field(ge=0, le=4_096)] = 96
    max_snippet_tokens: Annotated[int, Field(ge=0, le=16_384)] = 256
    block_lines: Annotated[int, Field(ge=1, le=256)] = 16
    sources: Annotated[
        tuple[tuple[SnippetSource, Annotated[float, Field(ge=0, le=1)]], ...],
        Field(max_length=len(SNIPPET_SOURCES)),
    ] = (
        ("recent", 0.25),
        ("similar", 0.75),
        ("definition", 1.0),
    )
    order: tuple[SnippetSource, ...] = SNIPPET_SOURCES


def build_context(
    tree: SyntaxTree,
    path: str,
    offset: int,
    *,
    config: ContextConfig,
    count_tokens: Callable[[str], int],
    snippets: Sequence[Snippet] = (),
) -> Context:
    """The context of a cursor. `path` is relative to the repository, with forward slashes.

    `snippets` are candidates, best first within each source: the best that fit are used.
    """
    lines, block_lines = tree.lines, config.block_lines
    start = prefix_start(lines, offset, config.max_prefix_tokens, block_lines, count_tokens)
    end = suffix_end(lines, offset, config.max_suffix_tokens, block_lines, count_tokens)
    window = Snippet(path, tree.text[start:end], "recent", line=lines.line_of(start))
    candidates = select_snippets(
        snippets, window, config.max_snippet_tokens, config.sources, count_tokens
    )
    selected = (candidate.snippet for candidate in candidates if candidate.reason is None)
    return Context(
        path=path,
        header=file_header(tree, Span(start, end), offset, config.max_header_tokens, count_tokens),
        snippets=arrange(selected, config.order),
        prefix=tree.text[start:offset],
        suffix=tree.text[offset:end],
        candidates=candidates,
    )
