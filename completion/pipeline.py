"""One completion, from a cursor to the text to insert. Every front end uses this path."""

import math
from collections.abc import Callable
from dataclasses import replace

from code_context.brackets import CLOSERS, scan
from code_context.completion_kind import CompletionKind, decide
from code_context.syntax import SyntaxTree
from code_model.language_model import FinishReason, Generation, LanguageModel, Session
from completion import filters
from completion.gate import cut_before, likely_tokens
from completion.model_input import CompletionPoint, input_and_typed, model_input
from completion.reasons import Reason
from completion.request import CompletionResult

MAX_NEW_TOKENS = {CompletionKind.LINE: 48, CompletionKind.BLOCK: 112}


def complete(
    session: Session,
    point: CompletionPoint,
    *,
    explicit: bool = False,
    threshold: float = -math.inf,
    cancelled: Callable[[], bool] = lambda: False,
    progress: Callable[[str], None] = lambda text: None,
) -> CompletionResult:
    """Complete at a point.

    `explicit`: the user invoked it, so strings and comments are completed too. `threshold`: the
    joint log-probability (nats) that the text must keep (`session.show_thresholds`). `progress` is
    called with the text so far after every token.
    """
    tree, offset = point.tree, point.offset
    decision = decide(tree, offset, explicit=explicit)
    if decision.kind is CompletionKind.NONE:
        return CompletionResult("", decision.reason, decision.kind)
    max_new_tokens = MAX_NEW_TOKENS[decision.kind]
    ids, typed = input_and_typed(session.model.encoder, in_session(point, session, max_new_tokens))
    is_complete = _stop_condition(decision.kind, tree, offset)

    def stop(text: str) -> bool:
        progress(text)
        return is_complete(text)

    generation = session.generate(
        ids,
        max_new_tokens=max_new_tokens,
        threshold=threshold,
        stop=stop,
        cancelled=cancelled,
        must_spell=typed,
    )
    if generation.finish_reason == "cancelled":
        return CompletionResult("", "cancelled", decision.kind, generation)
    return present(session.model, point, decision.kind, generation, threshold)


def present(
    model: LanguageModel,
    point: CompletionPoint,
    kind: CompletionKind,
    generation: Generation,
    threshold: float,
) -> CompletionResult:
    """What is shown of a generation: the part above the threshold, cut to one syntax unit and
    filtered. The threshold may be higher than the one that it was generated with."""
    tree, offset = point.tree, point.offset
    count = likely_tokens(generation.logprobs, threshold)
    is_cut = count < len(generation.ids)
    generated = generation.text
    if is_cut:
        typed = len(model.tokenizer.decode(generation.ids)) - len(generation.text)
        generated = model.tokenizer.decode(generation.ids[:count])[typed:]
        generated = _without_partial_character(generated)
        generated = cut_before(generated, generation.text[len(generated) :])
    unit = _cut_to_unit(kind, generated, generation.finish_reason, tree, offset)
    text: str
    reason: Reason | None
    if unit:
        infills = model.encoder.template.order != "ltr"
        text, reason = filters.apply(filters.Candidate(tree, offset, unit, is_cut, infills))
    else:
        text, reason = "", "below_threshold" if is_cut else "nothing_to_add"
    return CompletionResult(
        text.replace("\n", point.newline),
        reason,
        kind,
        generation,
        ends=text == unit and not is_cut and generation.finish_reason in ("end", "stop"),
        withheld=unit if reason is not None else "",
    )


def prefill(
    session: Session, point: CompletionPoint, cancelled: Callable[[], bool] = lambda: False
) -> None:
    """Cache the keys and values that `complete` needs at this point or near it."""
    point = in_session(point, session, max(MAX_NEW_TOKENS.values()))
    session.prefill(model_input(session.model.encoder, point), cancelled)


def in_session(point: CompletionPoint, session: Session, max_new_tokens: int) -> CompletionPoint:
    """The point with the session's context and room."""
    return replace(point, config=point.config or session.context, room=session.room(max_new_tokens))


def _stop_condition(kind: CompletionKind, tree: SyntaxTree, offset: int) -> Callable[[str], bool]:
    """Whether a generated text has reached the end of its syntax unit."""
    if kind is CompletionKind.LINE:
        closer = tree.text[offset : offset + 1]
        return lambda text: "\n" in text or _repeated_closer(text, closer) is not None
    header_width = _header_width(tree.text, offset)
    return lambda text: _dedent(text, header_width) is not None


def _cut_to_unit(
    kind: CompletionKind, text: str, finish_reason: FinishReason, tree: SyntaxTree, offset: int
) -> str:
    """A generated text up to the end of its syntax unit, without an unfinished last line."""
    text = text.replace("\r\n", "\n")
    if kind is CompletionKind.LINE:
        line = text.partition("\n")[0]
        line = line[: _repeated_closer(line, tree.text[offset : offset + 1])]
        return _without_partial_character(line).rstrip()
    end = _dedent(text, _header_width(tree.text, offset))
    if end is not None:
        text = text[:end]
    elif finish_reason == "length":
        text = text.rpartition("\n")[0]
    return _without_partial_character(text).rstrip()


def _repeated_closer(text: str, closer: str) -> int | None:
    """Index of the bracket in `text` that repeats `closer`, the bracket behind the cursor."""
    if closer not in CLOSERS or closer not in text:
        return None
    unmatched, _ = scan(text)
    return unmatched[0] if unmatched and text[unmatched[0]] == closer else None


def _dedent(text: str, header_width: int) -> int | None:
    """Index of the newline before the first line indented no deeper than the block's header.

    The first line of `text` continues the cursor's line, so it is not examined.
    """
    start = text.find("\n")
    while start >= 0:
        end = text.find("\n", start + 1)
        line = text[start + 1 :] if end < 0 else text[start + 1 : end]
        if line.strip() and _width(line) <= header_width:
            return start
        start = end
    return None


def _header_width(text: str, offset: int) -> int:
    """Indentation of the block's header: the last non-blank line up to the cursor."""
    for line in reversed(text[:offset].splitlines()):
        if line.strip():
            return _width(line)
    return 0


def _width(line: str) -> int:
    """Columns of indentation; a tab reaches to the next multiple of eight."""
    expanded = line.expandtabs(8)
    return len(expanded) - len(expanded.lstrip(" "))


def _without_partial_character(text: str) -> str:
    """Without replacement characters at the end: the last token may hold a part of a character."""
    return text.rstrip("\ufffd")
