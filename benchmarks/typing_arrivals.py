"""Record what a team server is asked while people type: when, with how many tokens, for how long.

Run `python -m benchmarks.typing_arrivals`. The typing sessions of `benchmarks.typing_sessions` are
replayed once more, with the default model in the place of a team server: nothing is computed ahead,
and each call of the model is recorded. They are replayed twice: as fast as the default model is,
and with a model that takes `SERVER_S` more, because an editor waits longer for a pause in front of
a slower model, and so asks it less often. `benchmarks.scale` makes its figures of the result.
"""

import argparse
import asyncio
import json
import time
from collections import deque
from collections.abc import Hashable, Sequence
from copy import copy
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.files import read_files
from benchmarks.typing_sessions import replay
from code_context.context import Context
from code_model.decoder.model import DecoderModel
from code_model.loading import load_model
from code_model.model_choice import ModelChoice
from completion.completion_model import CompletionModel, Computation
from completion.prompted_model import PromptedModel
from completion.request import CompletionRequest, CompletionResult
from completion.status import StatusListener
from lsp_server.settings import Settings

RESULTS = Path("benchmarks/results/typing_arrivals.json")
SERVER_S = 0.2
"""What a request may take at a server (`benchmarks.scale.LIMIT_MS`)."""


@dataclass
class Call:
    """One request that a server would get. Times are seconds since the session's first keystroke.

    Typed at `key_s`, sent at `sent_s`. `reused` of the `input` tokens are those of the request
    before; `new` follow.
    """

    key_s: float
    sent_s: float
    input: int
    reused: int
    new: int


@dataclass
class TypingSession:
    """All requests of one session; `seconds` from its first keystroke to its last."""

    seconds: float
    keystrokes: int
    calls: list[Call] = field(default_factory=list)


class RecordedModel(CompletionModel):
    """Records the calls of a model, session by session. A session is one document."""

    def __init__(self, model: DecoderModel, report: StatusListener, server_s: float) -> None:
        """Every call takes `server_s` more."""
        self._server_s = server_s
        encoder = copy(model.encoder)
        encode = encoder.encode
        self._input = 0

        def encode_counted(context: Context) -> list[int]:
            ids = encode(context)
            self._input = len(ids)
            return ids

        vars(encoder)["encode"] = encode_counted
        self._model = PromptedModel(replace(model, encoder=encoder), None, report)
        self._arrived: deque[tuple[CompletionRequest, float]] = deque(maxlen=16)
        self._began: dict[str, float] = {}
        self.sessions: dict[str, TypingSession] = {}

    @property
    def looks_ahead(self) -> bool:
        """As with a team server."""
        return False

    def version(self, request: CompletionRequest) -> Hashable:
        """That of the model. The scheduler asks for it when a request arrives."""
        if all(request is not known for known, _ in self._arrived):
            now = time.perf_counter()
            self._arrived.append((request, now))
            began = self._began.setdefault(request.document, now)
            session = self.sessions.setdefault(request.document, TypingSession(0.0, 0))
            session.seconds = now - began
            session.keystrokes += 1
        return self._model.version(request)

    def complete(self, request: CompletionRequest, computation: Computation) -> CompletionResult:
        """Complete, and record what a server would have been asked."""
        sent = time.perf_counter()
        while time.perf_counter() - sent < self._server_s and not computation.cancelled():
            time.sleep(0.002)
        result = self._model.complete(request, computation)
        if result.generation is None:
            return result
        # the first request may arrive before the scheduler has its model
        arrived = next((at for known, at in tuple(self._arrived) if known is request), sent)
        began = self._began.setdefault(request.document, arrived)
        calls = self.sessions.setdefault(request.document, TypingSession(0.0, 1)).calls
        reused = self._input - result.generation.prefilled
        new = len(result.generation.ids)
        calls.append(Call(arrived - began, sent - began, self._input, reused, new))
        return result

    def warm(self, request: CompletionRequest, computation: Computation) -> None:
        """Not recorded: opening a document; its tokens count in the first call."""

    def check_fit(self, request: CompletionRequest, computation: Computation) -> None:
        """Nothing, as there is no prompt."""


def record(files: dict[str, str], server_s: float = 0.0) -> list[TypingSession]:
    """One session for each file, in real time."""
    opened: list[RecordedModel] = []

    def open_model(
        settings: Settings, roots: Sequence[Path], report: StatusListener
    ) -> CompletionModel:
        model = load_model(ModelChoice())
        assert isinstance(model, DecoderModel)  # noqa: S101
        opened.append(RecordedModel(model, report, server_s))
        return opened[0]

    asyncio.run(replay(files, open_model))
    return list(opened[0].sessions.values())


def to_json(sessions: Sequence[TypingSession]) -> list[dict[str, Any]]:
    """The sessions with times to the millisecond."""

    def rounded(call: Call) -> dict[str, Any]:
        return {name: round(value, 3) for name, value in asdict(call).items()}

    return [
        {"seconds": round(each.seconds, 3), "keystrokes": each.keystrokes}
        | {"calls": [rounded(call) for call in each.calls]}
        for each in sessions
    ]


def from_json(value: Sequence[dict[str, Any]]) -> list[TypingSession]:
    """What `to_json` wrote."""
    return [
        TypingSession(each["seconds"], each["keystrokes"], [Call(**call) for call in each["calls"]])
        for each in value
    ]


def main() -> None:
    """Record and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=10)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    files = dict(list(read_files().items())[: options.files])
    recorded = {}
    for name, server_s in (("fast", 0.0), ("server", SERVER_S)):
        lines = [json.dumps(each) for each in to_json(record(files, server_s))]
        recorded[name] = f'"{name}": [\n' + ",\n".join(lines) + "\n]"
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text("{\n" + ",\n".join(recorded.values()) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
