"""What a running server offers: its model, precision, positions, prompts and speed."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import httpx2

from code_model.language_model import ModelUnreachableError
from code_model.loading import load_model
from code_model.model_choice import ModelChoice
from code_model.team_server import KV_PROMPTS, served_name
from code_model.vllm.answers import SERVED_MODELS, parse
from code_model.vllm.client import ServerRefusalError
from code_model.vllm.model import VllmModel
from code_model.vllm.model_input import EmbeddingBeginning
from code_model.vllm.session import BACKGROUND_S, GREEDY

PRECISION: Final = "attune:precision:"
PROBE = "def main() -> int:\n    return "
PROBE_TOKENS = 16


@dataclass
class ServerReport:
    """What a server said. `refusals` are sentences about what cannot work with it.

    `positions` counts those of one request; times are in milliseconds.
    """

    model: str
    precision: str | None = None
    positions: int | None = None
    takes_embeddings: bool | None = None
    has_kv_prompts: bool | None = None
    first_token_ms: float | None = None
    per_token_ms: float | None = None
    refusals: list[str] = field(default_factory=list)


def inspect_server(
    choice: ModelChoice, clock: Callable[[], float] = time.perf_counter
) -> ServerReport:
    """Ask the server of a choice for everything that a session needs of it.

    Raises `ModelLoadError`.
    """
    model = load_model(choice)
    assert isinstance(model, VllmModel)  # noqa: S101 (a choice with a server)
    report = ServerReport(model.name)
    try:
        served = parse(SERVED_MODELS, model.client.get("/v1/models", BACKGROUND_S)).data
    except ModelUnreachableError as error:
        report.refusals.append(f"The server {model.server.host} does not serve: {error}.")
        return report
    names = {entry.id for entry in served}
    report.positions = min((entry.max_model_len for entry in served), default=None)
    report.precision = next(
        (name.removeprefix(PRECISION) for name in names if name.startswith(PRECISION)), None
    )
    report.has_kv_prompts = KV_PROMPTS in names
    report.refusals += _mismatches(model, names)
    if report.refusals:
        return report
    try:
        report.takes_embeddings = _takes_embeddings(model)
        _measure(model, report, clock)
    except ModelUnreachableError as error:
        report.refusals.append(f"The server {model.server.host} does not complete: {error}.")
    return report


def _mismatches(model: VllmModel, names: set[str]) -> list[str]:
    """What the names that a server offers say against it."""
    identity = model.identity
    fingerprints = {
        "model": identity.model_fingerprint,
        "tokenizer": identity.tokenizer_fingerprint,
        "layout": identity.layout_fingerprint,
    }
    if not any(name.startswith("attune:") for name in names):
        return [
            f"The server {model.server.host} does not say which model it computes; start it with "
            "the command that `attune team serve` writes."
        ]
    return [
        f"The server {model.server.host} has another {kind} than {model.name} on this machine; "
        "use the same files on both."
        for kind, fingerprint in fingerprints.items()
        if served_name(kind, fingerprint) not in names
    ]


def _takes_embeddings(model: VllmModel) -> bool:
    """Whether the embeddings of tokens continue as the tokens do."""
    if model.refusal("embedding") is not None:
        return False
    ids = [*model.encoder.beginning_ids, *model.tokenizer.encode(PROBE)]
    rows = model.embeddings.rows(ids).float()
    beginning = EmbeddingBeginning(rows[:-1], model.embeddings, rows.dtype)
    answers = []
    tokens = {"prompt": ids}
    for said in (tokens, beginning.request(ids[-1:])):
        body = {"model": model.served_name, **said, **GREEDY, "max_tokens": PROBE_TOKENS}
        stream = model.client.stream(body, model.vocabulary_size)
        try:
            answers.append(stream.next(BACKGROUND_S, lambda: False)[0])
        except ServerRefusalError as error:
            if error.status != httpx2.codes.BAD_REQUEST or said is tokens:
                raise
            return False
        finally:
            stream.close()
    return answers[0] == answers[1]


def _measure(model: VllmModel, report: ServerReport, clock: Callable[[], float]) -> None:
    """The time to the first token of an input that is cached, and between later ones."""
    ids = [*model.encoder.beginning_ids, *model.tokenizer.encode(PROBE)]
    body = {"model": model.served_name, "prompt": ids, **GREEDY, "max_tokens": PROBE_TOKENS}
    body["ignore_eos"] = True
    for _ in range(2):  # the second time the connection and the input are there
        started = clock()
        stream = model.client.stream(body, model.vocabulary_size)
        times = []
        try:
            for _ in range(PROBE_TOKENS):
                stream.next(BACKGROUND_S, lambda: False)
                times.append(clock())
        finally:
            stream.close(has_all=len(times) == PROBE_TOKENS)
    report.first_token_ms = 1000 * (times[0] - started)
    report.per_token_ms = 1000 * (times[-1] - times[0]) / (PROBE_TOKENS - 1)
