"""Figures of a model on the held-out packages: the table of the model card.

Bits per byte left to right, and the loss of the hidden middle (nats per token, suffix first) with
no other file, with a chunk of the same package chosen by shared identifiers, and with a random one.
"""

import math
import random
import statistics
from pathlib import Path

import torch
import torch.nn.functional as F

from code_context.context import ContextConfig, Snippet, build_context
from code_context.syntax import holes, parse
from code_model.fim import FimEncoder
from code_model.llama import Llama
from code_model.loading import load_model
from pretraining import corpus
from pretraining.rows import IDENTIFIER

WINDOW_TOKENS = 700
FILES_PER_PACKAGE = 12
CHARACTERS_PER_FILE = 6000
HOLES_PER_FILE = 4
CONFIG = ContextConfig(max_prefix_tokens=256, max_suffix_tokens=96, max_header_tokens=64)


@torch.inference_mode()
def nats(model: Llama, ids: list[int], scored: int) -> float:
    """Sum of the negative log-likelihood of the last `scored` ids."""
    logits = model.logits(model(torch.tensor([ids[:-1]]))[:, -scored:])
    return F.cross_entropy(logits[0].float(), torch.tensor(ids[-scored:]), reduction="sum").item()


def evaluate(path: Path | None, folder: Path, seed: int = 0) -> dict[str, object]:
    """One row of figures for each held-out package, and their medians."""
    base = load_model(path)
    encoder = base.encoder
    by_package: dict[str, list[corpus.Document]] = {}
    for document in corpus.read(folder, "held_out"):
        by_package.setdefault(document.package, []).append(document)
    table: dict[str, dict[str, float]] = {}
    for package, documents in by_package.items():
        rng = random.Random(f"{seed}/{package}")
        chosen = rng.sample(documents, min(FILES_PER_PACKAGE, len(documents)))
        row = {"bits_per_byte": _bits_per_byte(base.model, encoder, chosen)}
        row |= _middles(base.model, encoder, chosen, documents, rng)
        table[package] = {name: round(value, 4) for name, value in row.items()}
    names = next(iter(table.values())).keys()
    medians = {name: statistics.median(row[name] for row in table.values()) for name in names}
    return {"model": base.name, "packages": table, "median": medians}


def _bits_per_byte(model: Llama, encoder: FimEncoder, documents: list[corpus.Document]) -> float:
    total, size = 0.0, 0
    for document in documents:
        text = document.text[:CHARACTERS_PER_FILE]
        ids = encoder.tokenizer.encode(text)
        head = encoder.beginning_ids + encoder.encode_file(document.path, "")
        for start in range(0, len(ids), WINDOW_TOKENS):
            window = ids[start : start + WINDOW_TOKENS]
            total += nats(model, head + window, len(window))
        size += len(text.encode())
    return total / math.log(2) / size


def _middles(
    model: Llama,
    encoder: FimEncoder,
    documents: list[corpus.Document],
    package: list[corpus.Document],
    rng: random.Random,
) -> dict[str, float]:
    sums = {"none": 0.0, "retrieved": 0.0, "random": 0.0}
    tokens = 0
    for document in documents:
        others = [other for other in package if other.path != document.path]
        found = [
            hole for hole in holes(parse(document.text, "python")) if hole.end - hole.start > 8
        ]
        for hole in rng.sample(found, min(HOLES_PER_FILE, len(found))):
            text = document.text
            holed = parse(text[: hole.start] + text[hole.end :], "python")
            near = set(IDENTIFIER.findall(text[max(0, hole.start - 500) : hole.start]))
            chunks = [_chunk(rng, rng.choice(others)) for _ in range(200)]
            best = max(chunks, key=lambda c: len(near & set(IDENTIFIER.findall(c.text))))
            middle = encoder.encode_middle(text[hole.start : hole.end])[:96]
            for name, snippets in (("none", ()), ("retrieved", (best,)), ("random", (chunks[0],))):
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


def _chunk(rng: random.Random, document: corpus.Document) -> Snippet:
    lines = document.text.splitlines(keepends=True)
    start = rng.randrange(max(1, len(lines) - 10))
    return Snippet(document.path, "".join(lines[start : start + 20]))
