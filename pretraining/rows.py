"""Training rows: FIM in the serving layout, left to right, and copying exercises.

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
NEAR = (500, 300)  # characters before and behind the hole that say what is wanted
MAX_CHARACTERS = 6  # of code in a token, so that what is encoded fills a row
MAX_PARSED = 12_000  # characters; what is farther away is cut from the windows anyway
PARSED = 16  # characters for each token of a row, if that is less


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
        # square root of the size: large packages teach more, but do not drown the rest
        self.weights = [sum(len(d.text) for d in package) ** 0.5 for package in self.packages]
        self.inner = [[len(d.text) ** 0.5 for d in package] for package in self.packages]
        self.retrieval = {package[0].package: Retrieval(package) for package in self.packages}

    def index(self, workers: int) -> None:
        """Make every package's index now, the packages shared out among processes."""
        indexes = list(self.retrieval.values())
        fork = multiprocessing.get_context("fork")  # so that no process is sent the corpus
        with fork.Pool(workers, _keep, (indexes,)) as pool:
            made = pool.imap(_index, range(len(indexes)))
            for retrieval, holders in zip(indexes, made, strict=True):
                retrieval.holders = holders

    def row(self, index: int, length: int) -> tuple[list[int], list[int]]:
        """Ids and labels, `length` + 1 each; labels of what cannot be predicted are ignored."""
        rng = random.Random(f"{self.seed}/{index}")
        which = rng.randrange(len(self.packages)) if rng.random() < 0.1 else -1
        if which < 0:
            which = rng.choices(range(len(self.packages)), self.weights)[0]
        package = self.packages[which]
        document = rng.choices(package, self.inner[which])[0]
        draw = rng.random()
        for name, build in (
            ("copy_random", self._copy_random),
            ("copy_code", self._copy_code),
            ("left_to_right", self._left_to_right),
        ):
            if draw < self.shares[name]:
                return self._fill(build(rng, package, document, length), rng, package, length)
            draw -= self.shares[name]
        return self._fill(self._fim(rng, package, document, length), rng, package, length)

    def _fill(
        self, row: tuple[list[int], list[int]], rng: random.Random, package: Any, length: int
    ) -> tuple[list[int], list[int]]:
        ids, labels = row
        ids, labels = self.encoder.beginning_ids + ids, self.encoder.beginning_ids + labels
        while len(ids) <= length:
            wanted = length - len(ids)
            more, _ = self._left_to_right(rng, package, rng.choice(package), wanted)
            more = [self.encoder.end_ids[0], *more]
            ids, labels = ids + more, labels + more
        return ids[: length + 1], labels[: length + 1]

    def _left_to_right(
        self, rng: random.Random, package: list[Document], document: Document, length: int
    ) -> tuple[list[int], list[int]]:
        text = document.text
        if len(text) > 4 * length and rng.random() < 0.7:
            cut = rng.randrange(len(text) - 3 * length)
            text = text[text.find("\n", cut) + 1 :]
        ids = self.encoder.encode_file(document.path, text[: MAX_CHARACTERS * length])
        return ids, ids

    def _copy_random(
        self, rng: random.Random, package: list[Document], document: Document, length: int
    ) -> tuple[list[int], list[int]]:
        ids: list[int] = []
        labels: list[int] = []
        while len(ids) < length:
            span = [rng.randrange(5, self.vocab_size) for _ in range(rng.randint(6, length // 4))]
            for repeat in range(rng.randint(2, 3)):
                gap = [rng.randrange(5, self.vocab_size) for _ in range(rng.randint(0, 24))]
                start = rng.randrange(len(span) // 2) if repeat else 0
                piece = span[start:]
                ids += gap + piece
                known = 3 if repeat else len(piece)
                labels += [IGNORED] * (len(gap) + min(known, len(piece))) + piece[known:]
        return ids, labels

    def _copy_code(
        self, rng: random.Random, package: list[Document], document: Document, length: int
    ) -> tuple[list[int], list[int]]:
        """A span of real code that comes again after a while, with other code between."""
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
        """Code of other files for a share of the rows, most of it chosen, some at random."""
        others = [d for d in rng.sample(package, min(len(package), 4)) if d.path != document.path]
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
        text = document.text
        most = min(MAX_PARSED, PARSED * length)
        if len(text) > most:
            cut = rng.randrange(len(text) - most)
            text = text[text.find("\n", cut) + 1 :][:most]
        tree = parse(text, "python")
        found = find_holes(tree) if rng.random() < 0.75 else ()
        if found:
            hole = rng.choice(found)
            start, end = hole.start, hole.end
            if rng.random() < 0.5:  # a cursor inside the hole, also inside a token
                start = rng.randrange(start, end)
        else:
            start = rng.randrange(len(text))
            end = min(len(text), start + int(rng.expovariate(1 / 60)) + 1)
        if end - start > 2 * length:
            end = start + 2 * length
        middle = self.encoder.encode_middle(text[start:end])[: length // 2]
        left = length - len(middle) - 16
        near = text[max(0, start - NEAR[0]) : start] + text[end : end + NEAR[1]]
        snippets = self._snippets(rng, package, document, near)
        snippet_tokens = sum(self.encoder.count(s.path + s.text) + 4 for s in snippets)
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
        first = rng.random() < 0.5
        ids = self.encoder.encode(context, order="spm" if first else "psm") + middle
        return ids, ids


_indexes: list[Retrieval] = []  # in a process that makes some of them


def _keep(indexes: list[Retrieval]) -> None:
    _indexes[:] = indexes


def _index(number: int) -> dict[str, list[int]]:
    return _indexes[number].index()


class Batches(Dataset[tuple[Tensor, Tensor]]):
    """Batch number i: inputs and labels, (count, length) each, of rows `first` + i·count and on."""

    def __init__(self, rows: Rows, first: int, count: int, length: int) -> None:
        self.rows, self.first, self.count, self.length = rows, first, count, length

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        start = self.first + index * self.count
        built = [self.rows.row(start + offset, self.length) for offset in range(self.count)]
        ids = torch.tensor([ids for ids, _ in built])
        labels = torch.tensor([labels for _, labels in built])
        return ids[:, :-1], labels[:, 1:]


def stream(rows: Rows, first: int, count: int, length: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless batches from row `first` on, built ahead in all but one of the machine's cores."""
    workers = max(1, (os.cpu_count() or 1) - 1)
    batches = Batches(rows, first, count, length)
    ahead: DataLoader[tuple[Tensor, Tensor]] = DataLoader(
        batches, batch_size=None, sampler=range(10**9), num_workers=workers, prefetch_factor=4,
        pin_memory=torch.cuda.is_available(),
    )  # fmt: skip
    return iter(ahead)
