"""Figures of a model on the held-out packages, for each language: the tables of the model card.

Bits per byte left to right; the loss of hidden code that names what another file defines (nats per
token, suffix first) with no other file, with random code of the package, with what serving finds,
and with the very definitions; how often a greedy line is right; and, on random tokens, the loss of
a repeated span.
"""

import copy
import math
import random
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from rapidfuzz import fuzz

from code_context.context import ContextConfig, build_context
from code_context.holes import Hole, find_holes
from code_context.snippets import Snippet
from code_context.syntax import Span, SyntaxTree, parse
from code_model.decoder.llama import Llama
from code_model.decoder.loading import load_decoder
from code_model.decoder.model import DecoderModel
from code_model.fim import FimEncoder
from code_model.model_folder import read_model_folder
from code_model.model_resolution import resolve_model
from completion.model_input import CompletionPoint
from completion.pipeline import complete
from pretraining import corpus
from pretraining.corpus import Document
from pretraining.retrieval import PackageIndex, PackageIndexes, random_chunk
from pretraining.rows import Source, sources

WINDOW_TOKENS = 700
FILES_PER_PACKAGE = 12
CHARACTERS_PER_FILE = 6000
HOLES_PER_FILE = 4
LINE_ENDS_PER_FILE = 3
MIN_HOLE = 8  # characters
MAX_MIDDLE_TOKENS = 96
RANDOM_CHUNKS = 4  # as much code as serving finds
CONFIG = ContextConfig(max_prefix_tokens=256, max_suffix_tokens=96, max_header_tokens=64)
COPY_ROWS, COPY_SPAN, COPY_GAP = 24, 64, 32  # tokens
IDENTIFIER = re.compile(r"[^\W\d]\w*")
COLUMNS = (
    "bits_per_byte", "exact_line", "similarity", "first_identifier", "parses",
    "naming_none", "naming_random", "naming_served", "naming_defining",
)  # fmt: skip

Progress = Callable[[float], None]


@dataclass(frozen=True)
class Line:
    """A greedy completion of the rest of a line, and the rest that was expected.

    `parses`: the completed file has no more syntax errors than the original.
    """

    expected: str
    text: str
    parses: bool


@torch.inference_mode()
def nats(model: Llama, ids: list[int], scored: int) -> float:
    """Sum of the negative log-likelihood of the last `scored` ids."""
    device = model.cos.device
    logits = model.logits(model(torch.tensor([ids[:-1]], device=device))[:, -scored:])
    expected = torch.tensor(ids[-scored:], device=device)
    return F.cross_entropy(logits[0].float(), expected, reduction="sum").item()


def evaluate(
    path: Path | None, folder: Path, seed: int = 0, progress: Progress = lambda share: None
) -> dict[str, Any]:
    """Figures of each held-out package by language, their medians, and the figures of copying.

    Raises `pretraining.corpus.CorpusError` without held-out documents,
    `code_model.language_model.ModelLoadError` without a model.
    """
    model = load_decoder(read_model_folder(path or resolve_model().choice.path))
    scoring = copy.deepcopy(model.llama).to("cuda" if torch.cuda.is_available() else "cpu")
    documents = corpus.read(folder, "held_out")
    packages: dict[str, list[Document]] = {}
    for document in documents:
        packages.setdefault(document.package, []).append(document)
    indexes = PackageIndexes(folder / "indexes", packages)
    held_out = sources(documents)
    done, count = 0, sum(map(len, held_out.values()))
    languages: dict[str, Any] = {}
    for language, of_language in sorted(held_out.items()):
        table = {}
        for source in of_language:
            progress(done / count)
            rng = random.Random(f"{seed}/{language}/{source.package}")
            row = _row(model, scoring, source, indexes.of(source.package), rng)
            table[source.package] = {name: round(value, 4) for name, value in row.items()}
            done += 1
        languages[language] = {"packages": table, "median": _medians(table)}
    return {
        "model": model.name,
        "languages": languages,
        "copying": copying(scoring, model.encoder, sorted(model.tokenizer.vocabulary()), seed),
    }


def markdown(results: Mapping[str, Any]) -> str:
    """A table for each language, with a row of medians."""
    lines = []
    for language, of_language in results["languages"].items():
        lines += [
            "",
            f"| {language} | {' | '.join(COLUMNS)} |",
            "| --- " * (len(COLUMNS) + 1) + "|",
        ]
        for package, row in (*of_language["packages"].items(), ("median", of_language["median"])):
            cells = (f"{row[name]:.2f}" if name in row else "" for name in COLUMNS)
            lines.append(f"| {package} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _medians(table: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Over the packages that have a figure; `context_gain`: of served over random code."""
    rows = list(table.values())
    medians = {
        name: statistics.median(row[name] for row in rows if name in row)
        for name in dict.fromkeys(name for row in rows for name in row)
    }
    gains = [row["naming_random"] - row["naming_served"] for row in rows if "naming_none" in row]
    if gains:
        medians["context_gain"] = statistics.median(gains)
    return {name: round(value, 4) for name, value in medians.items()}


def _row(
    model: DecoderModel, scoring: Llama, source: Source, index: PackageIndex, rng: random.Random
) -> dict[str, float]:
    chosen = rng.sample(source.documents, min(FILES_PER_PACKAGE, len(source.documents)))
    row = _bits_per_byte(scoring, model.encoder, chosen)
    row |= _naming_holes(scoring, model.encoder, chosen, source, index, rng)
    return row | _line_scores(_lines(model, chosen, rng))


def copying(
    model: Llama, encoder: FimEncoder, vocabulary: Sequence[int], seed: int
) -> dict[str, float]:
    """Nats per token of a span of random tokens of a vocabulary, and of its repetition."""
    rng = random.Random(seed)
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
    model: Llama, encoder: FimEncoder, documents: Sequence[Document]
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


def _naming_holes(
    model: Llama,
    encoder: FimEncoder,
    documents: Sequence[Document],
    source: Source,
    index: PackageIndex,
    rng: random.Random,
) -> dict[str, float]:
    """Nats per token of holes that name what another file defines, by what stands in front."""
    sums = dict.fromkeys(("none", "random", "served", "defining"), 0.0)
    tokens = 0
    for document in documents:
        text = document.text
        holes = {
            hole: defining
            for hole in find_holes(parse(text, document.language))
            if hole.end - hole.start >= MIN_HOLE
            and (defining := index.defining(text[hole.start : hole.end], document.path))
        }
        others = [other for other in source.documents if other.path != document.path]
        for hole in rng.sample(list(holes), min(HOLES_PER_FILE, len(holes))) if others else ():
            holed = parse(_without(text, hole), document.language)
            middle = encoder.encode_middle(text[hole.start : hole.end])[:MAX_MIDDLE_TOKENS]
            conditions: dict[str, Sequence[Snippet]] = {
                "none": (),
                "random": [random_chunk(rng.choice(others), rng) for _ in range(RANDOM_CHUNKS)],
                "served": index.served(holed, document.path, hole.start),
                "defining": holes[hole],
            }
            for name, snippets in conditions.items():
                ids = _input(encoder, holed, document.path, hole.start, snippets)
                sums[name] += nats(model, ids + middle, len(middle))
            tokens += len(middle)
    return {f"naming_{name}": value / tokens for name, value in sums.items() if tokens}


def _input(
    encoder: FimEncoder, holed: SyntaxTree, path: str, offset: int, snippets: Sequence[Snippet]
) -> list[int]:
    context = build_context(
        holed, path, offset, config=CONFIG, count_tokens=encoder.count, snippets=snippets
    )
    return encoder.beginning_ids + encoder.encode(context)


def _lines(model: DecoderModel, documents: Sequence[Document], rng: random.Random) -> list[Line]:
    """Completions at cursors in the middle of lines, by the path that serves editors."""
    engine = model.open()
    lines = []
    for document in documents:
        text, language = document.text, document.language
        errors = _errors(text, language)
        ends = [
            hole
            for hole in find_holes(parse(text, language))
            if hole.kind == "line_end" and hole.end - hole.start >= MIN_HOLE // 2
        ]
        for hole in rng.sample(ends, min(LINE_ENDS_PER_FILE, len(ends))):
            holed = _without(text, hole)
            point = CompletionPoint.parse(holed, document.path, hole.start)
            answer = complete(engine, point, explicit=True)
            inserted = holed[: hole.start] + answer.text + holed[hole.start :]
            expected = text[hole.start : hole.end].strip()
            parses = _errors(inserted, language) <= errors
            lines.append(Line(expected, answer.text.strip(), parses))
    return lines


def _errors(text: str, language: str) -> int:
    return parse(text, language).count_errors(Span(0, len(text)))


def _without(text: str, hole: Hole) -> str:
    return text[: hole.start] + text[hole.end :]


def _line_scores(lines: Sequence[Line]) -> dict[str, float]:
    count = max(1, len(lines))
    shown = max(1, sum(bool(line.text) for line in lines))
    named = [line for line in lines if _first_identifier(line.expected)]
    same_identifier = sum(
        _first_identifier(line.text) == _first_identifier(line.expected) for line in named
    )
    similarity = sum(fuzz.ratio(line.text, line.expected) for line in lines) / 100
    return {
        "exact_line": sum(line.text == line.expected for line in lines) / count,
        "similarity": similarity / count,
        "first_identifier": same_identifier / max(1, len(named)),
        "parses": sum(line.parses for line in lines if line.text) / shown,
    }


def _first_identifier(text: str) -> str | None:
    match = IDENTIFIER.search(text)
    return match[0] if match else None
