"""Training rows: FIM in the serving layout, whole files left to right, and copying exercises.

Row number i of a seed is always the same row, so that training resumes where it stopped. Every row
is full (no padding); a short example is followed by whole files of the same package.
"""

import multiprocessing
import os
import random
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from code_context.context import ContextConfig, build_context
from code_context.holes import find_holes
from code_context.snippets import Snippet
from code_context.syntax import parse
from code_model.fim import FimEncoder
from pretraining.corpus import Document
from pretraining.retrieval import Retrieval, random_chunk

IGNORED = -100
NEAR = (500, 300)  # characters before and after the hole that snippets are chosen for
MAX_CHARACTERS = 6  # of code in a token: so many for each token always fill a row
MAX_PARSED = 12_000  # characters; the windows do not reach farther
PARSED = 16  # characters parsed for each token of a row, within MAX_PARSED


class Rows:
    """An endless, indexable stream of rows over the corpus."""

    def __init__(
        self, documents: list[Document], encoder: FimEncoder, shares: dict[str, float], seed: int
    ) -> None:
        self.encoder = encoder
        self.shares = shares
        self.seed = seed
        self.vocab_size = 8192
        by_package: dict[str, list[Document]] = {}
        for document in documents:
            by_package.setdefault(document.package, []).append(document)
        self.packages = list(by_package.values())
        # square root of the size: large packages count more, but do not drown the rest
        self.package_weights = [
            sum(len(document.text) for document in package) ** 0.5 for package in self.packages
        ]
        self.document_weights = [
            [len(document.text) ** 0.5 for document in package] for package in self.packages
        ]
        self.retrieval = {package[0].package: Retrieval(package) for package in self.packages}

    def index(self, workers: int) -> None:
        """Build every package's index now, in parallel processes."""
        indexes = list(self.retrieval.values())
        fork = multiprocessing.get_context("fork")  # the processes inherit the corpus
        with fork.Pool(workers, _inherit, (indexes,)) as pool:
            built = pool.imap(_index, range(len(indexes)))
            for retrieval, holders in zip(indexes, built, strict=True):
                retrieval.holders = holders

    def row(self, index: int, length: int) -> tuple[list[int], list[int]]:
        """Ids and labels, `length` + 1 each; labels that cannot be predicted are `IGNORED`."""
        rng = random.Random(f"{self.seed}/{index}")
        number = rng.randrange(len(self.packages)) if rng.random() < 0.1 else -1
        if number < 0:
            number = rng.choices(range(len(self.packages)), self.package_weights)[0]
        package = self.packages[number]
        document = rng.choices(package, self.document_weights[number])[0]
        draw = rng.random()
        for name, build in (
            ("copy_random", self._copy_random),
            ("copy_code", self._copy_code),
            ("causal", self._causal),
        ):
            if draw < self.shares[name]:
                return self._fill(build(rng, package, document, length), rng, package, length)
            draw -= self.shares[name]
        return self._fill(self._fim(rng, package, document, length), rng, package, length)

    def _fill(
        self, row: tuple[list[int], list[int]], rng: random.Random, package: Any, length: int
    ) -> tuple[list[int], list[int]]:
        """Put the beginning token in front, and whole files of the package behind."""
        ids, labels = row
        ids, labels = self.encoder.beginning_ids + ids, self.encoder.beginning_ids + labels
        while len(ids) <= length:
            wanted = length - len(ids)
            more, _ = self._causal(rng, package, rng.choice(package), wanted)
            more = [self.encoder.end_ids[0], *more]
            ids, labels = ids + more, labels + more
        return ids[: length + 1], labels[: length + 1]

    def _causal(
        self, rng: random.Random, package: list[Document], document: Document, length: int
    ) -> tuple[list[int], list[int]]:
        """A file, left to right; of a long one mostly a part."""
        text = document.text
        if len(text) > 4 * length and rng.random() < 0.7:
            cut = rng.randrange(len(text) - 3 * length)
            text = text[text.find("\n", cut) + 1 :]
        ids = self.encoder.encode_file(document.path, text[: MAX_CHARACTERS * length])
        return ids, ids

    def _copy_random(
        self, rng: random.Random, package: list[Document], document: Document, length: int
    ) -> tuple[list[int], list[int]]:
        """Spans of random tokens that come again after a gap; only repetitions are learnt."""
        ids: list[int] = []
        labels: list[int] = []
        while len(ids) < length:
            span = [rng.randrange(5, self.vocab_size) for _ in range(rng.randint(6, length // 4))]
            for repeat in range(rng.randint(2, 3)):
                gap = [rng.randrange(5, self.vocab_size) for _ in range(rng.randint(0, 24))]
                start = rng.randrange(len(span) // 2) if repeat else 0
                piece = span[start:]
                ids += gap + piece
                ignored = 3 if repeat else len(piece)  # the first tokens cannot be predicted
                labels += [IGNORED] * (len(gap) + min(ignored, len(piece))) + piece[ignored:]
        return ids, labels

    def _copy_code(
        self, rng: random.Random, package: list[Document], document: Document, length: int
    ) -> tuple[list[int], list[int]]:
        """A span of real code that comes again in another file, after other code."""
        lines = document.text.splitlines(keepends=True)
        start = rng.randrange(max(1, len(lines) - 12))
        span = "".join(lines[start : start + rng.randint(3, 16)])
        other = rng.choice(package)
        between = random_chunk(other, rng).text
        first = self.encoder.encode_file(document.path, span)
        middle = self.encoder.encode_file(other.path, between)
        again = self.encoder.encode_file(other.path, span)
        ids = first[: length // 3] + middle[: length // 4] + again
        return ids, ids

    def _snippets(
        self, rng: random.Random, package: list[Document], document: Document, near: str
    ) -> tuple[Snippet, ...]:
        """Code of other files for a share of the rows, mostly retrieved, otherwise random."""
        others = [
            other for other in rng.sample(package, min(len(package), 4))
            if other.path != document.path
        ]  # fmt: skip
        if not others or rng.random() >= self.shares["with_snippets"]:
            return ()
        count = rng.randint(1, 2)
        if rng.random() < self.shares["retrieved"]:
            chosen = self.retrieval[document.package].chosen(near, document.path, rng, count)
            if chosen:
                return tuple(chosen)
        return tuple(random_chunk(other, rng) for other in others[:count])

    def _fim(
        self, rng: random.Random, package: list[Document], document: Document, length: int
    ) -> tuple[list[int], list[int]]:
        """A hole in a file: suffix and prefix in either order, then the middle."""
        text = document.text
        limit = min(MAX_PARSED, PARSED * length)
        if len(text) > limit:
            cut = rng.randrange(len(text) - limit)
            text = text[text.find("\n", cut) + 1 :][:limit]
        start, end = _hole(rng, text, 2 * length)
        middle = self.encoder.encode_middle(text[start:end])[: length // 2]
        left = length - len(middle) - 16
        near = text[max(0, start - NEAR[0]) : start] + text[end : end + NEAR[1]]
        snippets = self._snippets(rng, package, document, near)
        snippet_tokens = sum(
            self.encoder.count(snippet.path + snippet.text) + 4 for snippet in snippets
        )
        left -= min(snippet_tokens, left // 2)
        suffix_tokens = int(left * rng.uniform(0.05, 0.35))
        config = ContextConfig(
            max_prefix_tokens=int((left - suffix_tokens) * rng.uniform(0.5, 0.9)),
            max_suffix_tokens=suffix_tokens,
            max_header_tokens=int(left * 0.15),
            max_snippet_tokens=left // 2,
        )
        # the suffix begins after the hole, so the context is built on the text without it
        holed = parse(text[:start] + text[end:], "python")
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


def _hole(rng: random.Random, text: str, max_characters: int) -> tuple[int, int]:
    """Start and end of a hole: mostly of the syntax tree, otherwise random characters."""
    syntactic = find_holes(parse(text, "python")) if rng.random() < 0.75 else ()
    if syntactic:
        hole = rng.choice(syntactic)
        start, end = hole.start, hole.end
        if rng.random() < 0.5:  # a cursor inside the hole, also inside a token
            start = rng.randrange(start, end)
    else:
        start = rng.randrange(len(text))
        end = min(len(text), start + int(rng.expovariate(1 / 60)) + 1)
    return start, min(end, start + max_characters)


_indexes: list[Retrieval] = []  # of a process of the pool


def _inherit(indexes: list[Retrieval]) -> None:
    _indexes[:] = indexes


def _index(number: int) -> dict[str, list[int]]:
    return _indexes[number].index()


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
