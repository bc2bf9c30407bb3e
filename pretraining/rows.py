"""Training rows: FIM in the serving layout, whole files left to right, and copying exercises.

Row number i of a seed is always the same row, so that training resumes where it stopped. Every row
is full (no padding); a short example is followed by whole files of the same package.
"""

import os
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from code_context.context import ContextConfig, build_context
from code_context.holes import find_holes
from code_context.snippets import PATH_SEPARATORS, Snippet, SnippetSource
from code_context.syntax import SyntaxTree, parse
from code_model.fim import FimEncoder
from code_model.fim_templates import ATTUNE
from code_model.tokenizer import Tokenizer
from pretraining.corpus import Document
from pretraining.retrieval import PackageIndexes, random_chunk

IGNORED = -100
MAX_CHARACTERS = 6  # of code in a token: so many for each token always fill a row
MAX_PARSED = 12_000  # characters; the windows do not reach farther
PARSED = 16  # characters parsed for each token of a row, within MAX_PARSED
SNIPPETS = (0.15, 0.5)  # the part of a row for code of other files; in serving it is 0.3
UNIFORM = 0.1  # share of rows whose package is drawn whatever its size
DEFINITIONS_FIRST: tuple[tuple[SnippetSource, float], ...] = (
    ("definition", 1.0),
    ("similar", 1.0),
)
"""Shares of the snippets in rows whose hole names another file's symbol, as in `ContextConfig`."""


@dataclass(frozen=True)
class Source:
    """The documents of one package in one language."""

    package: str
    documents: Sequence[Document]
    weights: Sequence[float]

    @classmethod
    def of(cls, documents: Sequence[Document]) -> "Source":
        """Square roots of sizes: what is large counts more, but does not drown the rest."""
        weights = [len(document.text) ** 0.5 for document in documents]
        return cls(documents[0].package, documents, weights)

    @property
    def weight(self) -> float:
        """That of the package among those of its language."""
        return float(sum(len(document.text) for document in self.documents) ** 0.5)


def sources(documents: Sequence[Document]) -> dict[str, list[Source]]:
    """The sources of each language."""
    grouped: dict[str, dict[str, list[Document]]] = {}
    for document in documents:
        by_package = grouped.setdefault(document.language, {})
        by_package.setdefault(document.package, []).append(document)
    return {
        language: [Source.of(each) for each in by_package.values()]
        for language, by_package in grouped.items()
    }


class Rows:
    """An endless, indexable stream of rows over the corpus.

    `shares` is the table `data` of the config. The indexes of the packages are kept in `indexes`.
    """

    def __init__(
        self,
        documents: Sequence[Document],
        tokenizer: Tokenizer,
        indexes: Path,
        shares: Mapping[str, Any],
        seed: int,
    ) -> None:
        self.encoder = FimEncoder(tokenizer, ATTUNE)
        self.plain_ids = sorted(tokenizer.vocabulary())
        self.shares = shares
        self.seed = seed
        self.sources = sources(documents)
        packages: dict[str, list[Document]] = {}
        for document in documents:
            packages.setdefault(document.package, []).append(document)
        self.indexes = PackageIndexes(indexes, packages)

    def row(self, index: int, length: int) -> tuple[list[int], list[int]]:
        """Ids and labels, `length` + 1 each; labels that cannot be predicted are `IGNORED`."""
        rng = random.Random(f"{self.seed}/{index}")
        source = self._source(rng)
        document = rng.choices(source.documents, source.weights)[0]
        draw = rng.random()
        for name, build in (
            ("copy_random", self._copy_random),
            ("copy_code", self._copy_code),
            ("causal", self._causal),
        ):
            if draw < self.shares[name]:
                return self._fill(build(rng, source, document, length), rng, source, length)
            draw -= self.shares[name]
        return self._fill(self._fim(rng, source, document, length), rng, source, length)

    def _source(self, rng: random.Random) -> Source:
        """A package in a language, which the shares of the languages draw."""
        shares = self.shares["languages"]
        languages = [language for language in shares if language in self.sources]
        language = rng.choices(languages, [shares[each] for each in languages])[0]
        of_language = self.sources[language]
        if rng.random() < UNIFORM:
            return rng.choice(of_language)
        return rng.choices(of_language, [source.weight for source in of_language])[0]

    def _fill(
        self, row: tuple[list[int], list[int]], rng: random.Random, source: Source, length: int
    ) -> tuple[list[int], list[int]]:
        """Put the beginning token in front, and whole files of the package behind."""
        ids, labels = row
        ids, labels = self.encoder.beginning_ids + ids, self.encoder.beginning_ids + labels
        while len(ids) <= length:
            wanted = length - len(ids)
            more, _ = self._causal(rng, source, rng.choice(source.documents), wanted)
            more = [self.encoder.end_ids[0], *more]
            ids, labels = ids + more, labels + more
        return ids[: length + 1], labels[: length + 1]

    def _causal(
        self, rng: random.Random, source: Source, document: Document, length: int
    ) -> tuple[list[int], list[int]]:
        """A file, left to right; of a long one mostly a part."""
        text = document.text
        if len(text) > 4 * length and rng.random() < 0.7:
            cut = rng.randrange(len(text) - 3 * length)
            text = text[text.find("\n", cut) + 1 :]
        ids = self.encoder.encode_file(document.path, text[: MAX_CHARACTERS * length])
        return ids, ids

    def _copy_random(
        self, rng: random.Random, source: Source, document: Document, length: int
    ) -> tuple[list[int], list[int]]:
        """Spans of random tokens that come again after a gap; only repetitions are learnt."""
        ids: list[int] = []
        labels: list[int] = []
        while len(ids) < length:
            span = [rng.choice(self.plain_ids) for _ in range(rng.randint(6, length // 4))]
            for repeat in range(rng.randint(2, 3)):
                gap = [rng.choice(self.plain_ids) for _ in range(rng.randint(0, 24))]
                start = rng.randrange(len(span) // 2) if repeat else 0
                piece = span[start:]
                ids += gap + piece
                ignored = 3 if repeat else len(piece)  # the first tokens cannot be predicted
                labels += [IGNORED] * (len(gap) + min(ignored, len(piece))) + piece[ignored:]
        return ids, labels

    def _copy_code(
        self, rng: random.Random, source: Source, document: Document, length: int
    ) -> tuple[list[int], list[int]]:
        """A span of real code that comes again in another file, after other code."""
        lines = document.text.splitlines(keepends=True)
        start = rng.randrange(max(1, len(lines) - 12))
        span = "".join(lines[start : start + rng.randint(3, 16)])
        other = rng.choice(source.documents)
        between = random_chunk(other, rng).text
        first = self.encoder.encode_file(document.path, span)
        middle = self.encoder.encode_file(other.path, between)
        again = self.encoder.encode_file(other.path, span)
        ids = first[: length // 3] + middle[: length // 4] + again
        return ids, ids

    def _fim(
        self, rng: random.Random, source: Source, document: Document, length: int
    ) -> tuple[list[int], list[int]]:
        """A hole in a file: suffix and prefix in either order, then the middle."""
        text = document.text
        limit = min(MAX_PARSED, PARSED * length)
        if len(text) > limit:
            cut = rng.randrange(len(text) - limit)
            text = text[text.find("\n", cut) + 1 :][:limit]
        shown = replace(document, text=text)
        hole = self._naming_hole(rng, shown) if rng.random() < self.shares["named"] else None
        start, end = hole or _hole(rng, shown)
        end = min(end, start + 2 * length)
        middle = self.encoder.encode_middle(text[start:end])[: length // 2]
        # the suffix begins after the hole, so the context is built on the text without it
        holed = parse(text[:start] + text[end:], document.language)
        if hole is None:
            snippets = self._snippets(rng, source, document.path, holed, start)
        else:
            index = self.indexes.of(source.package)
            snippets = index.defining(text[start:end], document.path)
            snippets += index.served(holed, document.path, start)
        config = self._budgets(rng, length - len(middle) - 16, snippets, named=hole is not None)
        context = build_context(
            holed,
            document.path,
            start,
            config=config,
            count_tokens=self.encoder.count,
            snippets=snippets,
        )
        suffix_first = rng.random() < 0.5
        ids = self.encoder.encode(context, order="spm" if suffix_first else "psm") + middle
        return ids, ids

    def _budgets(
        self, rng: random.Random, left: int, snippets: Sequence[Snippet], *, named: bool
    ) -> ContextConfig:
        """Budgets within the tokens that are left, drawn so that every length is learnt."""
        for_snippets = sum(
            self.encoder.count(snippet.path) + self.encoder.count(snippet.text) + PATH_SEPARATORS
            for snippet in snippets
        )
        share = SNIPPETS[1] if named else rng.uniform(*SNIPPETS)
        for_snippets = min(for_snippets, int(left * share))
        left -= for_snippets
        suffix = int(left * rng.uniform(0.05, 0.35))
        budgets = ContextConfig(
            max_prefix_tokens=int((left - suffix) * rng.uniform(0.5, 0.9)),
            max_suffix_tokens=suffix,
            max_header_tokens=int(left * 0.15),
            max_snippet_tokens=for_snippets,
        )
        return replace(budgets, sources=DEFINITIONS_FIRST) if named else budgets

    def _naming_hole(self, rng: random.Random, document: Document) -> tuple[int, int] | None:
        """A hole of the syntax tree that names what another file defines; None if there is none."""
        index, text = self.indexes.of(document.package), document.text
        holes = [
            hole
            for hole in find_holes(parse(text, document.language))
            if index.defining(text[hole.start : hole.end], document.path)
        ]
        if not holes:
            return None
        hole = rng.choice(holes)
        return hole.start, hole.end

    def _snippets(
        self, rng: random.Random, source: Source, path: str, holed: SyntaxTree, offset: int
    ) -> list[Snippet]:
        """Code of other files for a share of the rows, mostly as served, otherwise random."""
        if rng.random() >= self.shares["with_snippets"]:
            return []
        if rng.random() < self.shares["retrieved"]:
            return self.indexes.of(source.package).served(holed, path, offset)
        count = min(len(source.documents), rng.randint(2, 3))
        others = rng.sample(source.documents, count)
        return [random_chunk(other, rng) for other in others if other.path != path]


def _hole(rng: random.Random, document: Document) -> tuple[int, int]:
    """Start and end of a hole: mostly of the syntax tree, otherwise random characters."""
    text = document.text
    syntactic = find_holes(parse(text, document.language)) if rng.random() < 0.75 else ()
    if syntactic:
        hole = rng.choice(syntactic)
        start, end = hole.start, hole.end
        if rng.random() < 0.5:  # a cursor inside the hole, also inside a token
            start = rng.randrange(start, end)
        return start, end
    start = rng.randrange(len(text))
    return start, min(len(text), start + int(rng.expovariate(1 / 60)) + 1)


class Batches(Dataset[tuple[Tensor, Tensor]]):
    """Batch number i: inputs and labels, (count, length) each, from row `first` + i·count on."""

    def __init__(self, rows: Rows, first: int, count: int, length: int) -> None:
        self.rows, self.first, self.count, self.length = rows, first, count, length

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        start = self.first + index * self.count
        built = [self.rows.row(start + offset, self.length) for offset in range(self.count)]
        ids = torch.tensor([ids for ids, _ in built])
        labels = torch.tensor([labels for _, labels in built])
        return ids[:, :-1], labels[:, 1:]


def stream(rows: Rows, first: int, count: int, length: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless batches from row `first` on, prefetched on all but one of the machine's cores."""
    workers = max(1, (os.cpu_count() or 1) - 1)
    batches = Batches(rows, first, count, length)
    prefetched: DataLoader[tuple[Tensor, Tensor]] = DataLoader(
        batches, batch_size=None, sampler=range(10**9), num_workers=workers, prefetch_factor=4,
        pin_memory=torch.cuda.is_available(),
    )  # fmt: skip
    return iter(prefetched)
