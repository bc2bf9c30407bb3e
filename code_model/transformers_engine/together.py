"""Several sessions of one model in the same forward passes: many prompts, one set of weights.

A pass computes one token of each. Every row attends to the cache of its own session, so nothing is
padded or copied, prompts of all forms stand beside each other, and each takes the memory that it
takes alone.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import Cache

from code_model.greedy import GreedyEnd, StepResult, WantedStep
from code_model.language_model import Generation
from code_model.transformers_engine.attention import Attend
from code_model.transformers_engine.session import TransformersSession


@dataclass(frozen=True)
class Wanted:
    """A text to generate (`Session.generate`): one for each session."""

    session: TransformersSession
    ids: Sequence[int]
    end: GreedyEnd
    must_spell: str = ""

    def alone(self) -> Generation:
        """The text in passes of its own."""
        end = self.end
        return self.session.generate(
            self.ids,
            max_new_tokens=end.max_new_tokens,
            threshold=end.threshold,
            stop=end.stop,
            cancelled=end.cancelled,
            must_spell=self.must_spell,
        )


class OwnCaches:
    """Attention of one query in each row over the cache of that row's session."""

    def __init__(self, rows: Sequence[tuple[Cache, Attend | None]]) -> None:
        """A cache for each row, and how its queries attend; None: as usual."""
        self._rows = rows

    def __call__(
        self, layer: int, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scaling: float
    ) -> Tensor:
        """See `Attend`; the caches grow by one token."""
        outputs = []
        for (cache, attend), query, key, value in zip(
            self._rows, q.split(1), k.split(1), v.split(1), strict=True
        ):
            keys, values = cache.update(key, value, layer)
            if attend is not None:
                outputs.append(attend(layer, query, keys, values, None, scaling))
            else:
                outputs.append(
                    F.scaled_dot_product_attention(
                        query, keys, values, scale=scaling, enable_gqa=True
                    )
                )
        return torch.cat(outputs)


def generate_together(wanted: Sequence[Wanted]) -> list[Generation]:
    """What each session generates alone, with one forward pass for the next token of all.

    The sessions are of one model, and each appears once. Their inputs are prefilled one after the
    other: a long input fills the machine by itself. Raises as `Session.generate`.

    They are generated one after the other where the engine cannot attend itself, and where a token
    depends on its company in a pass, as in the schemes of bitsandbytes.
    """
    model = wanted[0].session.model
    if not model.network.attends or model.quantisation is not None:
        return [each.alone() for each in wanted]
    results: dict[int, Generation] = {}
    steps: dict[int, Generator[WantedStep, StepResult, Generation]] = {}
    asked: dict[int, WantedStep] = {}
    for row, each in enumerate(wanted):
        steps[row] = each.session.generation(each.ids, each.end, each.must_spell)
        try:
            asked[row] = next(steps[row])
        except StopIteration as end:
            results[row] = end.value
    while asked:
        rows = list(asked)
        sessions = [wanted[row].session for row in rows]
        try:
            computed = _step(sessions, [asked[row] for row in rows])
        except Exception as error:
            raise _failure([steps[row] for row in rows], error) from None
        for row, result in zip(rows, computed, strict=True):
            try:
                asked[row] = steps[row].send(result)
            except StopIteration as end:
                del asked[row]
                results[row] = end.value
    return [results[row] for row in range(len(wanted))]


@torch.inference_mode()
def _step(sessions: Sequence[TransformersSession], asked: Sequence[WantedStep]) -> list[StepResult]:
    """One step of each session, without drafts."""
    network = sessions[0].model.network
    positions = torch.tensor([[each.next_position] for each in sessions], device=network.device)
    ids = torch.tensor([list(step.pending) for step in asked], device=network.device)
    rows = [
        (each.cache(), each.prefix.attend(network, own))
        for each, own in zip(sessions, positions, strict=True)
    ]
    hidden = network.hidden(positions, None, ids=ids, attend=OwnCaches(rows))[:, 0]
    results = []
    logits = network.logits(hidden).float()
    for session, step, scores in zip(sessions, asked, logits.split(1), strict=True):
        session.has_cached(step.pending[0])
        results.append(session.choose(scores, step.allowed))
    return results


def _failure(
    generations: Sequence[Generator[WantedStep, StepResult, Generation]], error: Exception
) -> Exception:
    """What the sessions make of an error: each gets it, and drops its cache."""
    raised = error
    for each in generations:
        try:
            each.throw(error)
        except Exception as own:
            raised = own
    return raised
