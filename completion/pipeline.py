"""One completion, from text and cursor to the text to insert: the path of every front end."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from code_context.brackets import CLOSERS, scan
from code_context.completion_kind import CompletionKind, decide
from code_context.context import Context, ContextConfig, build_context
from code_context.languages import language_of
from code_context.retrieval import Retriever
from code_context.snippets import Snippet
from code_context.syntax import SyntaxTree, TreeCache, parse
from code_model.language_model import Generation, LanguageModel, Session
from completion import filters
from completion.reasons import Reason
from completion.request import CompletionResult

MAX_NEW_TOKENS = {CompletionKind.LINE: 48, CompletionKind.BLOCK: 112}


def model_input(
    base: LanguageModel,
    tree: SyntaxTree,
    path: str,
    offset: int,
    *,
    config: ContextConfig,
    room: int | None = None,
    repository: Retriever | None = None,
) -> list[int]:
    """Ids of everything before the middle, the same for serving and tuning.

    `repository` speaks for the other files. With less `room` (tokens) than the budgets of `config`
    ask for, all of them shrink alike.
    """
    context = context_at(base, tree, path, offset, config=config, room=room, repository=repository)
    return base.encoder.encode(context)


def context_at(
    base: LanguageModel,
    tree: SyntaxTree,
    path: str,
    offset: int,
    *,
    config: ContextConfig,
    room: int | None = None,
    repository: Retriever | None = None,
) -> Context:
    """The context whose ids `model_input` gives."""
    if repository is None:
        config = replace(config, max_snippet_tokens=0)
    found = () if repository is None else repository.snippets(tree, path, offset)
    return context_with(base, tree, path, offset, found, config=config, room=room)


def context_with(
    base: LanguageModel,
    tree: SyntaxTree,
    path: str,
    offset: int,
    found: Sequence[Snippet],
    *,
    config: ContextConfig,
    room: int | None = None,
) -> Context:
    """The same with what other files say already `found`, which no parameter changes."""
    return build_context(
        tree,
        path,
        offset,
        config=config if room is None else _shrunk(config, room),
        count_tokens=base.encoder.count,
        snippets=found,
    )


def complete(
    engine: Session,
    text: str,
    path: str,
    offset: int,
    *,
    config: ContextConfig | None = None,
    explicit: bool = False,
    repository: Retriever | None = None,
    trees: TreeCache | None = None,
    cancelled: Callable[[], bool] = lambda: False,
    progress: Callable[[str], None] = lambda text: None,
) -> CompletionResult:
    """Complete `text` of the file `path` (relative to its repository) at `offset` (code points).

    Without a `config`, the context is the one that the engine's prompt was tuned with.
    `explicit`: the user asked for it, so strings and comments are completed too. `repository`
    speaks for the other files; `trees` knows earlier versions of the text. `progress` hears the
    text so far at every token.
    """
    tree = _tree(text, path, trees)
    decision = decide(tree, offset, explicit=explicit)
    if decision.kind is CompletionKind.NONE:
        return CompletionResult("", decision.reason, decision.kind)
    limit = MAX_NEW_TOKENS[decision.kind]
    ids = model_input(
        engine.model,
        tree,
        path,
        offset,
        config=config or engine.context,
        room=engine.room(limit),
        repository=repository,
    )
    complete_at = _stops(decision.kind, tree, offset)

    def stop(generated: str) -> bool:
        progress(generated)
        return complete_at(generated)

    generation = engine.generate(ids, max_new_tokens=limit, stop=stop, cancelled=cancelled)
    if generation.finish_reason == "cancelled":
        return CompletionResult("", "cancelled", decision.kind, generation)
    unit = _cut(decision.kind, generation, tree, offset)
    kept: str
    reason: Reason | None
    logprob = _first_line_logprob(engine.model, generation)
    if not unit:
        kept, reason = "", "nothing_to_add"
    elif not explicit and engine.show_threshold is not None and logprob < engine.show_threshold:
        kept, reason = "", "below_threshold"
    else:
        kept, reason = filters.apply(filters.Candidate(tree, offset, unit))
    ends = kept == unit and generation.finish_reason in ("end", "stop")
    if "\r\n" in text:
        kept = kept.replace("\n", "\r\n")
    withheld = unit if reason not in (None, "below_threshold") else ""
    return CompletionResult(kept, reason, decision.kind, generation, logprob, ends, withheld)


def warm(
    engine: Session,
    text: str,
    path: str,
    offset: int,
    *,
    config: ContextConfig | None = None,
    repository: Retriever | None = None,
    trees: TreeCache | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> None:
    """Compute ahead what `complete` at this place, or near it, will find cached."""
    ids = model_input(
        engine.model,
        _tree(text, path, trees),
        path,
        offset,
        config=config or engine.context,
        room=engine.room(max(MAX_NEW_TOKENS.values())),
        repository=repository,
    )
    engine.prefill(ids, cancelled)


def _tree(text: str, path: str, trees: TreeCache | None) -> SyntaxTree:
    return parse(text, language_of(path)) if trees is None else trees.parse(text, path)


def _shrunk(config: ContextConfig, room: int) -> ContextConfig:
    reserve = 64  # separators, the path, and tokens that differ when pieces are joined
    asked = config.max_prefix_tokens + config.max_suffix_tokens + config.max_header_tokens
    share = max(0.0, min(1.0, (room - reserve) / (asked + config.max_snippet_tokens)))
    return replace(
        config,
        max_prefix_tokens=int(config.max_prefix_tokens * share),
        max_suffix_tokens=int(config.max_suffix_tokens * share),
        max_header_tokens=int(config.max_header_tokens * share),
        max_snippet_tokens=int(config.max_snippet_tokens * share),
    )


def _stops(kind: CompletionKind, tree: SyntaxTree, offset: int) -> Callable[[str], bool]:
    """Whether a text has reached the end of its unit."""
    if kind is CompletionKind.LINE:
        closer = tree.text[offset : offset + 1]
        return lambda generated: "\n" in generated or _closed_at(generated, closer) is not None
    outer = _outer_width(tree.text, offset)
    return lambda generated: _dedent(generated, outer) is not None


def _cut(kind: CompletionKind, generation: Generation, tree: SyntaxTree, offset: int) -> str:
    """The part of the generated text that is one syntax unit, without half a line at its end.

    A line ends where it closes the bracket that stands closed behind the cursor.
    """
    generated = generation.text.replace("\r\n", "\n")
    if kind is CompletionKind.LINE:
        line = generated.partition("\n")[0]
        line = line[: _closed_at(line, tree.text[offset : offset + 1])]
        return _whole_characters(line).rstrip()
    end = _dedent(generated, _outer_width(tree.text, offset))
    if end is not None:
        generated = generated[:end]
    elif generation.finish_reason == "length":
        generated = generated.rpartition("\n")[0]
    return _whole_characters(generated).rstrip()


def _closed_at(generated: str, closer: str) -> int | None:
    """Where `generated` writes the bracket again that already closes what stands before it."""
    if closer not in CLOSERS or closer not in generated:
        return None
    unmatched, _ = scan(generated)
    return unmatched[0] if unmatched and generated[unmatched[0]] == closer else None


def _first_line_logprob(base: LanguageModel, generation: Generation) -> float:
    """Of the tokens up to the one that ends the first line."""
    total = 0.0
    for token, logprob in zip(generation.ids, generation.logprobs, strict=True):
        total += logprob
        if "\n" in base.tokenizer.decode([token]):
            break
    return total


def _dedent(generated: str, outer: int) -> int | None:
    """Where the first line begins that is indented no deeper than the block's header.

    The first piece of the text stands on the cursor's line and is never a dedent.
    """
    start = generated.find("\n")
    while start >= 0:
        after = generated.find("\n", start + 1)
        line = generated[start + 1 :] if after < 0 else generated[start + 1 : after]
        if line.strip() and _width(line) <= outer:
            return start
        start = after
    return None


def _outer_width(text: str, offset: int) -> int:
    """Indentation of the header whose body the cursor begins."""
    for line in reversed(text[:offset].splitlines()):
        if line.strip():
            return _width(line)
    return 0


def _width(line: str) -> int:
    expanded = line.expandtabs(8)
    return len(expanded) - len(expanded.lstrip(" "))


def _whole_characters(text: str) -> str:
    return text.rstrip("\ufffd")
