"""Figures of a model on the held-out packages: the table of the model card.

Bits per byte left to right; the loss of the hidden middle (nats per token, suffix first) with no
other file, with a chunk of the same package retrieved as in training, and with a random one; how
often a greedy line is right; and, on random tokens, the loss of a repeated span.
"""

import ast
import math
import random
import re
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from rapidfuzz import fuzz

from code_context.context import ContextConfig, build_context
from code_context.holes import Hole, find_holes
from code_context.snippets import Snippet
from code_context.syntax import parse
from code_model.decoder.llama import Llama
from code_model.decoder.loading import load_decoder
from code_model.decoder.model import DecoderModel
from code_model.fim import FimEncoder
from code_model.model_folder import read_model_folder
from code_model.model_resolution import resolve_model
from completion.model_input import CompletionPoint
from completion.pipeline import complete
from pretraining import corpus
from pretraining.retrieval import Retrieval, random_chunk

WINDOW_TOKENS = 700
FILES_PER_PACKAGE = 12
CHARACTERS_PER_FILE = 6000
HOLES_PER_FILE = 4
LINE_ENDS_PER_FILE = 3
MIN_HOLE = 8  # characters
MAX_MIDDLE_TOKENS = 96
CONFIG = ContextConfig(max_prefix_tokens=256, max_suffix_tokens=96, max_header_tokens=64)
COPY_ROWS, COPY_SPAN, COPY_GAP = 24, 64, 32  # tokens
IDENTIFIER = re.compile(r"[^\W\d]\w*")

Progress = Callable[[float], None]


@dataclass(frozen=True)
class Line:
    """A greedy completion of the rest of a line, and the rest that was expected.

    `parses`: whether the completed file is valid Python.
    """

    expected: str
    text: str
    parses: bool


@torch.inference_mode()
def nats(model: Llama, ids: list[int], scored: int) -> float:
    """Sum of the negative log-likelihood of the last `scored` ids."""
    logits = model.logits(model(torch.tensor([ids[:-1]]))[:, -scored:])
    return F.cross_entropy(logits[0].float(), torch.tensor(ids[-scored:]), reduction="sum").item()


def evaluate(
    path: Path | None, folder: Path, seed: int = 0, progress: Progress = lambda share: None
) -> dict[str, Any]:
    """One row of figures for each held-out package, their medians, and the figures of copying.

    Raises `pretraining.corpus.CorpusError` without held-out documents,
    `code_model.language_model.ModelLoadError` without a model.
    """
    model = load_decoder(read_model_folder(path or resolve_model().choice.path))
    by_package: dict[str, list[corpus.Document]] = {}
    for document in corpus.read(folder, "held_out"):
        by_package.setdefault(document.package, []).append(document)
    table: dict[str, dict[str, float]] = {}
    for done, (package, documents) in enumerate(by_package.items()):
        progress(done / len(by_package))
        rng = random.Random(f"{seed}/{package}")
        chosen = rng.sample(documents, min(FILES_PER_PACKAGE, len(documents)))
        row = _bits_per_byte(model.llama, model.encoder, chosen)
        row |= _middles(model.llama, model.encoder, chosen, documents, rng)
        row |= _line_scores(_lines(model, chosen, rng))
        table[package] = {name: round(value, 4) for name, value in row.items()}
    names = next(iter(table.values())).keys()
    medians = {name: statistics.median(row[name] for row in table.values()) for name in names}
    medians["context_gain"] = statistics.median(
        row["middle_random"] - row["middle_retrieved"] for row in table.values()
    )
    return {
        "model": model.name,
        "packages": table,
        "median": {name: round(value, 4) for name, value in medians.items()},
        "copying": copying(model.llama, model.encoder, seed),
    }


def copying(model: Llama, encoder: FimEncoder, seed: int) -> dict[str, float]:
    """Nats per token of a span of random tokens, and of its repetition after a gap."""
    rng = random.Random(seed)
    vocabulary = range(len(encoder.end_ids) + 8, model.config.vocab_size)
    first, second = 0.0, 0.0
    for _ in range(COPY_ROWS):
        span, gap = rng.sample(vocabulary, COPY_SPAN), rng.sample(vocabulary, COPY_GAP)
        start = encoder.beginning_ids or [encoder.end_ids[0]]
        first += nats(model, [*start, *span], COPY_SPAN)
        # the first token of the second copy cannot be predicted
        second += nats(model, [*start, *span, *gap, *span], COPY_SPAN - 1)
    return {
        "first": round(first / COPY_ROWS / COPY_SPAN, 3),
        "second": round(second / COPY_ROWS / (COPY_SPAN - 1), 3),
    }


def _bits_per_byte(
    model: Llama, encoder: FimEncoder, documents: Sequence[corpus.Document]
) -> dict[str, float]:
    total, size, tokens, characters = 0.0, 0, 0, 0
    for document in documents:
        text = document.text[:CHARACTERS_PER_FILE]
        ids = encoder.tokenizer.encode(text)
        head = encoder.beginning_ids + encoder.encode_file(document.path, "")
        for start in range(0, len(ids), WINDOW_TOKENS):
            window = ids[start : start + WINDOW_TOKENS]
            total += nats(model, head + window, len(window))
        size += len(text.encode())
        tokens += len(ids)
        characters += len(text)
    return {
        "bits_per_byte": total / math.log(2) / size,
        "characters_per_token": characters / tokens,
    }


def _middles(
    model: Llama,
    encoder: FimEncoder,
    documents: Sequence[corpus.Document],
    package: Sequence[corpus.Document],
    rng: random.Random,
) -> dict[str, float]:
    """Nats per token of hidden middles with no snippet, a retrieved one, and a random one."""
    retrieval = Retrieval(package)
    sums = {"none": 0.0, "retrieved": 0.0, "random": 0.0}
    tokens = 0
    for document in documents:
        others = [other for other in package if other.path != document.path]
        text = document.text
        candidates = [
            hole for hole in find_holes(parse(text, "python")) if hole.end - hole.start > MIN_HOLE
        ]
        for hole in rng.sample(candidates, min(HOLES_PER_FILE, len(candidates))):
            holed = parse(_without(text, hole), "python")
            near = text[max(0, hole.start - 500) : hole.start] + text[hole.end : hole.end + 300]
            drawn = random_chunk(rng.choice(others), rng)
            retrieved = retrieval.chosen(near, document.path, rng, 1) or [drawn]
            middle = encoder.encode_middle(text[hole.start : hole.end])[:MAX_MIDDLE_TOKENS]
            conditions: dict[str, Sequence[Snippet]] = {
                "none": (), "retrieved": retrieved, "random": [drawn]
            }  # fmt: skip
            for name, snippets in conditions.items():
                context = build_context(
                    holed,
                    document.path,
                    hole.start,
                    config=CONFIG,
                    count_tokens=encoder.count,
                    snippets=snippets,
                )
                ids = encoder.beginning_ids + encoder.encode(context) + middle
                sums[name] += nats(model, ids, len(middle))
            tokens += len(middle)
    return {f"middle_{name}": value / tokens for name, value in sums.items()}


def _lines(
    model: DecoderModel, documents: Sequence[corpus.Document], rng: random.Random
) -> list[Line]:
    """Completions at cursors in the middle of lines, by the path that serves editors."""
    engine = model.open()
    lines = []
    for document in documents:
        text = document.text
        ends = [
            hole
            for hole in find_holes(parse(text, "python"))
            if hole.kind == "line_end" and hole.end - hole.start >= MIN_HOLE // 2
        ]
        for hole in rng.sample(ends, min(LINE_ENDS_PER_FILE, len(ends))):
            holed = _without(text, hole)
            point = CompletionPoint.parse(holed, document.path, hole.start)
            answer = complete(engine, point, explicit=True)
            inserted = holed[: hole.start] + answer.text + holed[hole.start :]
            expected = text[hole.start : hole.end].strip()
            lines.append(Line(expected, answer.text.strip(), _parses(inserted)))
    return lines


def _without(text: str, hole: Hole) -> str:
    return text[: hole.start] + text[hole.end :]


def _parses(text: str) -> bool:
    try:
        ast.parse(text)
    except (SyntaxError, ValueError):
        return False
    return True


def _line_scores(lines: Sequence[Line]) -> dict[str, float]:
    count = max(1, len(lines))
    shown = max(1, sum(bool(line.text) for line in lines))
    named = [line for line in lines if _first_identifier(line.expected)]
    same_identifier = sum(
        _first_identifier(line.text) == _first_identifier(line.expected) for line in named
    )
    similarity = sum(fuzz.ratio(line.text, line.expected) for line in lines) / 100
    return {
        "exact_match": sum(line.text == line.expected for line in lines) / count,
        "edit_similarity": similarity / count,
        "first_identifier": same_identifier / max(1, len(named)),
        "parses": sum(line.parses for line in lines if line.text) / shown,
    }


def _first_identifier(text: str) -> str | None:
    match = IDENTIFIER.search(text)
    return match[0] if match else None
