"""A server that many people type at, step by step: a queue in front of a batch.

People replay recorded typing sessions (`benchmarks.typing_arrivals`), each at a time and in an
order of his own. The server works in steps, as vLLM does: a step computes a part of the inputs that
wait and one more token of every text that is being written, and takes as long as the server's cost
says. A request that its sender gives up, because he sends the next one, is dropped at the next
step.
"""

import heapq
import itertools
import math
import random
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from benchmarks.typing_arrivals import Call, TypingSession

BLOCK = 16  # tokens; the prefix cache of vLLM knows whole blocks
WARM_UP_S = 5.0


class Cost(Protocol):
    """What one step of a server costs."""

    def seconds(self, inputs: int, sequences: int, cached: int) -> float:
        """For `inputs` tokens of inputs and the next token of `sequences` texts, which have
        `cached` tokens together."""


@dataclass(frozen=True)
class Server:
    """`batch` texts at once; `chunk` tokens of inputs in a step; room for `contexts` people."""

    cost: Cost
    batch: int
    chunk: int
    contexts: int


@dataclass(frozen=True)
class Load:
    """Who types: `people` at once, for `seconds`, each text at least `new_tokens` long.

    Without `affinity` a request goes to any of many servers, which has nothing of it cached.
    """

    people: int
    seconds: float
    new_tokens: int = 1
    affinity: bool = True
    seed: int = 0


@dataclass
class _Request:
    """A call on its way; `inputs` and `new` are what is left to compute.

    What was typed at `typed_over_s` needed another text, for which it is given up at `given_up_s`.
    """

    person: int
    sent_s: float
    typed_over_s: float
    given_up_s: float
    call: Call
    inputs: int
    new: int


@dataclass
class Outcome:
    """What happened to the requests behind the warm-up.

    `typed_s` is from the keystroke to the whole text, `sent_s` from when it was sent; of a request
    that was given up, to then. `in_time` counts texts that came before something else was typed,
    `tokens` what was computed for all of them.
    """

    typed_s: list[float] = field(default_factory=list)
    sent_s: list[float] = field(default_factory=list)
    in_time: int = 0

    def summary(self) -> dict[str, float]:
        """Milliseconds and shares."""
        typed, sent = (
            np.quantile(np.array(values) * 1e3, (0.5, 0.9))
            for values in (self.typed_s, self.sent_s)
        )
        return {
            "typed_p50_ms": round(float(typed[0]), 1),
            "typed_p90_ms": round(float(typed[1]), 1),
            "sent_p50_ms": round(float(sent[0]), 1),
            "sent_p90_ms": round(float(sent[1]), 1),
            "in_time": round(self.in_time / len(self.sent_s), 4),
        }


def simulate(server: Server, sessions: Sequence[TypingSession], load: Load) -> Outcome:
    """Let people type, and see how long they wait. The same seed gives the same result."""
    arrivals = heapq.merge(
        *(_requests(sessions, load, person) for person in range(load.people)),
        key=lambda request: request.sent_s,
    )
    following = next(arrivals, None)
    # they have typed before; or all would ask for everything at once
    known = OrderedDict[int, None].fromkeys(range(min(load.people, server.contexts)))
    running: list[_Request] = []
    waiting: list[_Request] = []
    outcome, now = Outcome(), 0.0
    while following is not None or running or waiting:
        while following is not None and following.sent_s <= now:
            if load.affinity and following.person in known:
                following.inputs -= following.call.reused // BLOCK * BLOCK
            waiting.append(following)
            following = next(arrivals, None)
        for requests in (waiting, running):
            _drop(requests, now, outcome)
        while waiting and len(running) < server.batch:
            running.append(waiting.pop(0))
        if not running:
            if following is None:
                break
            now = following.sent_s
            continue
        now += _step(server, running)
        for request in [request for request in running if not request.new]:
            running.remove(request)
            _finish(request, now, outcome)
            _remember(known, request.person, server.contexts)
    return outcome


def _requests(sessions: Sequence[TypingSession], load: Load, person: int) -> Iterator[_Request]:
    """A person's requests in the order in which they are sent; he began to type before."""
    chance = random.Random(f"{load.seed} {person}")
    session = chance.choice(sessions)
    began = -chance.random() * session.seconds
    while began < load.seconds:
        ends = Call(math.inf, math.inf, 0, 0, 0)
        for call, following in itertools.pairwise([*session.calls, ends]):
            sent_s = began + call.sent_s
            if 0 <= sent_s < load.seconds:
                next_s = began + following.key_s, began + following.sent_s
                new = max(call.new, load.new_tokens)
                yield _Request(person, sent_s, *next_s, call, call.input, new)
        began += session.seconds + chance.uniform(0, 1)
        session = chance.choice(sessions)


def _remember(known: OrderedDict[int, None], person: int, contexts: int) -> None:
    """Keep a person's context, and drop those that were used longest ago."""
    known[person] = None
    known.move_to_end(person)
    while len(known) > contexts:
        known.popitem(last=False)


def _drop(requests: list[_Request], now: float, outcome: Outcome) -> None:
    for request in [request for request in requests if request.given_up_s <= now]:
        requests.remove(request)
        _finish(request, request.given_up_s, outcome)


def _finish(request: _Request, now: float, outcome: Outcome) -> None:
    if request.sent_s < WARM_UP_S:
        return
    seconds = now - request.sent_s
    outcome.sent_s.append(seconds)
    outcome.typed_s.append(seconds + request.call.sent_s - request.call.key_s)
    outcome.in_time += not request.new and now <= request.typed_over_s


def _step(server: Server, running: list[_Request]) -> float:
    """Compute one step; its seconds. The last token of an input gives the first of its text."""
    left, inputs, sequences, cached = server.chunk, 0, 0, 0
    for request in running:
        if request.inputs:
            taken = min(left, request.inputs)
            left -= taken
            inputs += taken
            request.inputs -= taken
            if request.inputs:
                continue
        else:
            sequences += 1
        cached += request.call.input + request.call.new
        request.new -= 1
    return server.cost.seconds(inputs, sequences, cached)
