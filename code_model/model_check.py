"""What can be said about a model before it is used, and how fast it is on this machine."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final

from code_model.attention import AttentionKind, attention_kind, why_not_served
from code_model.fim_templates import FimTemplate
from code_model.language_model import LanguageModel, Session, TunableModel
from code_model.memory import BYTES, kv_bytes_per_token, weights_in
from code_model.model_folder import ModelFolder
from prompts.form import Form

PROMPT_TOKENS: Final = 256
"""Virtual tokens of a prompt, as `attune tune` makes it by default."""
DOCUMENT_TOKENS: Final = 1000
"""Tokens behind a prompt in use, about as many as the default context has."""
PREFILL_TOKENS: Final = 512
DECODE_TOKENS: Final = 32
MAX_ATTEMPTS: Final = 8
SAMPLE: Final = '''def read_lines(path, encoding="utf-8"):
    """The lines of a file, without their ends."""
    with open(path, encoding=encoding) as file:
        return [line.rstrip("\\n") for line in file]


class Table:
    def __init__(self, rows, columns):
        self.rows = rows
        self.columns = columns

    def column(self, name):
        index = self.columns.index(name)
        return [row[index] for row in self.rows]


'''


@dataclass(frozen=True)
class ModelFacts:
    """What the files of a model say.

    `weight_bytes` are as they are stored. `refusals` are sentences: why a prompt cannot serve.
    """

    family: str
    order: str
    fim_tokens: tuple[str, ...]
    attention: AttentionKind
    weight_bytes: int
    refusals: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Its fields, for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Speed:
    """Tokens per second, measured now: read before the first new one, and written after it.

    None where the model wrote nothing that could be timed.
    """

    prefill: float
    decode: float | None


@dataclass(frozen=True)
class Capabilities:
    """What a loaded model does here.

    Bytes of keys and values are in the precision that serves; None where they are not known.
    `prompt_bytes` are those of a prompt in use: its tensor, and the keys and values of its session.
    `tunes` are the forms that can be tuned and served: for a GGUF file, on the same weights
    dequantised, which are written when they are first needed.

    Reason for its size: each attribute is one line of the check.
    """

    engine: str
    device: str
    precision: str
    quantisation: str | None
    parameters: int
    serves: tuple[Form, ...]
    tunes: tuple[Form, ...]
    max_positions: int
    kv_bytes_per_1000_tokens: int | None
    prompt_bytes: int | None
    speed: Speed

    def to_json(self) -> dict[str, Any]:
        """Its fields, for JSON."""
        return asdict(self)


def facts_of(folder: ModelFolder) -> ModelFacts:
    """Read the facts. Raises `code_model.language_model.ModelLoadError` for damaged weights."""
    own = [file for file in folder.weight_files if folder.gguf is None or file.exists()]
    weights = weights_in(own if folder.gguf is None or own else [folder.gguf.path])
    refusal = why_not_served(folder.config)
    template = folder.encoder.template
    return ModelFacts(
        family=template.family,
        order=template.order,
        fim_tokens=_tokens(template),
        attention=attention_kind(folder.config),
        weight_bytes=weights.stored_bytes,
        refusals=() if refusal is None else (f"{folder.name} cannot be used: {refusal}.",),
    )


def _tokens(template: FimTemplate) -> tuple[str, ...]:
    """The special tokens that stand around the parts of an input."""
    wanted = ("prefix", "suffix", "middle", "file_separator")
    tokens = (getattr(template, name, None) for name in wanted)
    return tuple(token for token in tokens if token)


def capabilities_of(
    model: LanguageModel,
    folder: ModelFolder,
    clock: Callable[[], float] = time.perf_counter,
) -> Capabilities:
    """What a loaded model serves, tunes, and how fast; takes some seconds for a large one."""
    forms = tuple(sorted(model.forms))
    runtime = model.runtime
    cache = model.cache_memory
    per_token = kv_bytes_per_token(folder.config, BYTES.get(cache.precision, BYTES["float16"]))
    tensor = PROMPT_TOKENS * (kv_bytes_per_token(folder.config, BYTES["float32"]) or 0)
    positions = max(cache.reserved, PROMPT_TOKENS + DOCUMENT_TOKENS)
    return Capabilities(
        engine=runtime.engine,
        device=model.device,
        precision=runtime.precision,
        quantisation=runtime.quantisation,
        parameters=model.num_parameters,
        serves=forms,
        tunes=forms if isinstance(model, TunableModel) or folder.gguf is not None else (),
        max_positions=model.max_positions,
        kv_bytes_per_1000_tokens=None if per_token is None else 1000 * per_token,
        prompt_bytes=None if per_token is None else tensor + positions * per_token,
        speed=measured_speed(model, clock),
    )


def measured_speed(model: LanguageModel, clock: Callable[[], float]) -> Speed:
    """Time a prefill of code and the writing of new tokens behind it. `clock` gives seconds."""
    session = model.open()
    text = SAMPLE
    while len(ids := model.tokenizer.encode(text)) < PREFILL_TOKENS:
        text += SAMPLE
    ids = ids[: max(2, min(PREFILL_TOKENS, session.room(DECODE_TOKENS)))]
    session.generate(ids[:8], max_new_tokens=2)  # what is set up at the first use is not counted
    started = clock()
    session.prefill(ids)
    prefill = (len(ids) - 8) / max(clock() - started, 1e-9)
    return Speed(round(prefill, 1), _decode_speed(session, ids, clock))


def _decode_speed(session: Session, ids: list[int], clock: Callable[[], float]) -> float | None:
    """Tokens per second at the first place where the model writes at least two."""
    for attempt in range(MAX_ATTEMPTS):
        beginning = ids[: len(ids) - attempt]
        session.prefill(beginning)
        started = clock()
        generation = session.generate(beginning, max_new_tokens=DECODE_TOKENS)
        seconds = clock() - started
        if len(generation.ids) > 1:
            return round(len(generation.ids) / max(seconds, 1e-9), 1)
    return None
