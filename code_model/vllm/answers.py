"""What a server answers, checked before any of it is used."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import Field, StrictInt, StrictStr, TypeAdapter, ValidationError

from code_model.language_model import ModelUnreachableError

MAX_LOGPROB = 1e-3  # nats; rounding may take a probability a little above one

TokenId = Annotated[StrictInt, Field(ge=0)]
Logprob = Annotated[float, Field(le=MAX_LOGPROB, ge=-1e6, allow_inf_nan=False)]


@dataclass(frozen=True)
class ChosenLogprobs:
    """Log-probabilities (nats) of the tokens of a part."""

    token_logprobs: list[Logprob]


@dataclass(frozen=True)
class Choice:
    """Some tokens of a continuation; the last part has a reason why it ends."""

    token_ids: list[TokenId] | None = None
    logprobs: ChosenLogprobs | None = None
    finish_reason: StrictStr | None = None
    prompt_logprobs: list[dict[str, Any] | None] | None = None


@dataclass(frozen=True)
class Answer:
    """An answer of /v1/completions, or one event of a stream."""

    choices: Annotated[list[Choice], Field(max_length=1)]


@dataclass(frozen=True)
class ServedModel:
    """One name of the model that a server offers; `max_model_len` counts positions."""

    id: StrictStr
    max_model_len: Annotated[StrictInt, Field(ge=1)]


@dataclass(frozen=True)
class ServedModels:
    """The answer of /v1/models."""

    data: Annotated[list[ServedModel], Field(max_length=1000)]


ANSWER = TypeAdapter(Answer)
SERVED_MODELS = TypeAdapter(ServedModels)
AnswerT = TypeVar("AnswerT")


class RubbishError(ModelUnreachableError):
    """The server answers with something else than what was asked for."""

    def __init__(self) -> None:
        super().__init__("it answers with something that is no completion")


def parse(kind: TypeAdapter[AnswerT], data: bytes) -> AnswerT:
    """An answer. Raises `RubbishError`, which quotes nothing of it."""
    try:
        return kind.validate_python(json.loads(data))
    except (ValueError, ValidationError, RecursionError):
        raise RubbishError from None


def tokens_of(choice: Choice, vocabulary_size: int) -> list[tuple[int, float]]:
    """The ids of a part with their log-probabilities (nats). Raises `RubbishError`."""
    ids = choice.token_ids or []
    logprobs = [] if choice.logprobs is None else choice.logprobs.token_logprobs
    if len(ids) != len(logprobs) or any(token >= vocabulary_size for token in ids):
        raise RubbishError
    return list(zip(ids, logprobs, strict=True))


def nats_of(entry: Mapping[str, Any] | None, token: int) -> float:
    """Nats of one token of the input, by vLLM's `prompt_logprobs`. Raises `RubbishError`."""
    try:
        logprob = (entry or {})[str(token)]["logprob"]
    except (KeyError, TypeError):
        raise RubbishError from None
    if not isinstance(logprob, int | float) or not math.isfinite(logprob):
        raise RubbishError
    return -float(logprob)
