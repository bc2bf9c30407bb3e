"""Greedy decoding, the same for every engine: drafts, constraints, and where a text ends."""

import math
from collections.abc import Callable, Collection, Generator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from code_model.cancel import StepCancelledError
from code_model.language_model import FinishReason
from code_model.prompt_lookup import PromptLookup
from code_model.tokenizer import Tokenizer

ResultT = TypeVar("ResultT")
StepResult = tuple[list[int], list[float]]
"""See `Step`: the most likely ids, with their log-probabilities (nats)."""


class Step(Protocol):
    """One forward pass of an engine behind its cache."""

    def __call__(
        self, pending: Sequence[int], draft: Sequence[int], allowed: Collection[int] | None
    ) -> StepResult:
        """Compute `pending` and the ids of `draft` that are right; the cache then holds them.

        Returns the most likely id after the last of `pending` and after each right id of the draft,
        with their log-probabilities (nats): the right part of the draft and one more. With
        `allowed`, which comes without a draft, only these ids are considered, and the
        log-probability is that among them. An engine may ignore the draft. Raises
        `StepCancelledError`.
        """


@dataclass(frozen=True)
class WantedStep:
    """The arguments of a `Step`."""

    pending: Sequence[int]
    draft: Sequence[int]
    allowed: Collection[int] | None


@dataclass(frozen=True)
class GreedyEnd:
    """Where a text ends. See `Session.generate`."""

    end_ids: Collection[int]
    max_new_tokens: int
    threshold: float = -math.inf
    stop: Callable[[str], bool] = lambda text: False
    cancelled: Callable[[], bool] = lambda: False


@dataclass
class Continuation:
    """Generated ids with their log-probabilities (nats), their text, and how it ended.

    `steps` counts forward passes. The text excludes what the ids had to spell.
    """

    ids: list[int]
    logprobs: list[float]
    text: str = ""
    finish_reason: FinishReason | None = None
    steps: int = 0


def run_steps(steps: Generator[WantedStep, StepResult, ResultT], step: Step) -> ResultT:
    """The result of a generator whose steps `step` computes; it gets the errors too."""
    try:
        wanted = next(steps)
        while True:
            try:
                computed = step(wanted.pending, wanted.draft, wanted.allowed)
            except Exception as error:
                wanted = steps.throw(error)
            else:
                wanted = steps.send(computed)
    except StopIteration as end:
        result: ResultT = end.value
        return result


def greedy_steps(
    last_id: int,
    tokenizer: Tokenizer,
    end: GreedyEnd,
    *,
    lookup: PromptLookup | None = None,
    must_spell: str = "",
) -> Generator[WantedStep, StepResult, Continuation]:
    """Continue behind `last_id`, the last id of the input, which is not in the cache yet.

    A generator, so that several texts can be written in the same forward passes (`run_steps`).
    `lookup` gives drafts. The first ids spell `must_spell` (`code_model.token_healing`); until they
    have, no draft is used, and log-probabilities are those among the tokens that may come. So the
    joint probability is that of the text, given what is typed.
    """
    spelling = tokenizer.healing.spelling(must_spell) if must_spell else None
    result = Continuation([], [], finish_reason=None if end.max_new_tokens > 0 else "length")
    pending = [last_id]
    joint = 0.0
    while result.finish_reason is None:
        if end.cancelled():
            result.finish_reason = "cancelled"
            break
        permitted = spelling.allowed() if spelling else None
        left = end.max_new_tokens - len(result.ids) - 1
        draft = lookup.draft(left) if lookup and left and permitted is None else []
        try:
            chosen, logprobs = yield WantedStep(pending, draft, permitted)
        except StepCancelledError:
            result.finish_reason = "cancelled"
            break
        result.steps += 1
        for token, logprob in zip(chosen, logprobs, strict=True):
            if token in end.end_ids:
                result.finish_reason = "end"
                break
            if spelling:
                spelling.accept(token)
            result.ids.append(token)
            result.logprobs.append(logprob)
            joint += logprob
            result.text = tokenizer.decode(result.ids)[len(must_spell) :]
            if joint < end.threshold:
                result.finish_reason = "unlikely"
                break
            if end.stop(result.text):
                result.finish_reason = "stop"
                break
        if result.finish_reason is None and len(result.ids) == end.max_new_tokens:
            result.finish_reason = "length"
        if lookup:
            lookup.add(chosen)
        pending = chosen[-1:]
    return result
