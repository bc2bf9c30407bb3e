"""Snippets of other files of the same package, by the index and the retrieval that serve editors.

Training rows and the evaluation ask the same `Retriever` as a completion does. Beside it, the index
tells which names of a file another file defines: a hole that contains such a name can only be
filled by who has read that file.
"""

import hashlib
import multiprocessing
import os
import random
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from code_context.index import RepositoryIndex
from code_context.languages import family_of
from code_context.retrieval import Retriever
from code_context.snippets import Snippet
from code_context.syntax import SyntaxTree
from pretraining.corpus import CorpusError, Document

IDENTIFIER = re.compile(r"[A-Za-z_]\w{3,}")
CHUNK_LINES = (6, 24)
MAX_SAME_NAME = 2  # definitions of a name in a package; more are ambiguous
OPEN_INDEXES = 64  # in one process; each keeps some megabytes of pages and results
KNOWN_NAMES = 20_000  # of one package


class PackageIndex:
    """What is found in one package. One thread owns it."""

    def __init__(self, index: RepositoryIndex) -> None:
        self._index = index
        self._retriever = Retriever(index)
        self._definitions = lru_cache(KNOWN_NAMES)(self._find_definitions)

    def served(self, tree: SyntaxTree, path: str, offset: int) -> list[Snippet]:
        """What an editor would be served for a cursor in the file `path`.

        Raises `pretraining.corpus.CorpusError` if the index cannot be read.
        """
        snippets = self._retriever.snippets(tree, path, offset)
        if self._retriever.problem is not None:
            raise CorpusError(f"{self._retriever.problem}; delete the folder of indexes.")
        return snippets

    def defining(self, text: str, path: str) -> list[Snippet]:
        """Outlines of what a text of the file `path` names and only other files define."""
        names = sorted(set(IDENTIFIER.findall(text)))
        return [snippet for name in names for snippet in self._definitions(name, path)]

    def _find_definitions(self, name: str, path: str) -> tuple[Snippet, ...]:
        found = self._index.definitions(name, MAX_SAME_NAME)
        if any(one.path == path for one in found):
            return ()
        return tuple(
            Snippet(one.path, one.definition.outline, "definition", 1.0, one.definition.line)
            for one in found
            if family_of(one.path) == family_of(path)
        )


class PackageIndexes:
    """The index of each package, in a file that is named by what it holds, so never stale."""

    def __init__(self, folder: Path, packages: Mapping[str, Sequence[Document]]) -> None:
        """Write the indexes that are missing in `folder`, on all cores."""
        folder.mkdir(parents=True, exist_ok=True)
        self._files = {
            name: folder / f"{_digest(documents)}.sqlite" for name, documents in packages.items()
        }
        self.of = lru_cache(OPEN_INDEXES)(self._open)
        missing = {file: packages[name] for name, file in self._files.items() if not file.exists()}
        if missing:
            fork = multiprocessing.get_context("fork")  # the processes inherit the corpus
            workers = min(len(missing), os.cpu_count() or 1)
            with fork.Pool(workers, _inherit, (list(missing.items()),)) as pool:
                pool.map(_write, range(len(missing)), chunksize=1)

    def _open(self, package: str) -> PackageIndex:
        """The index of a package."""
        return PackageIndex(RepositoryIndex(self._files[package], read_only=True))


def random_chunk(document: Document, rng: random.Random) -> Snippet:
    """Consecutive lines of a file, drawn at random."""
    lines = document.text.splitlines(keepends=True)
    start = rng.randrange(max(1, len(lines) - CHUNK_LINES[1] // 2))
    return Snippet(document.path, "".join(lines[start : start + rng.randint(*CHUNK_LINES)]))


def _digest(documents: Sequence[Document]) -> str:
    digest = hashlib.sha256()
    for document in documents:
        for part in (document.path, document.text):
            digest.update(hashlib.sha256(part.encode()).digest())
    return digest.hexdigest()


_missing: list[tuple[Path, Sequence[Document]]] = []  # of a process of the pool


def _inherit(missing: list[tuple[Path, Sequence[Document]]]) -> None:
    _missing[:] = missing


def _write(number: int) -> None:
    file, documents = _missing[number]
    partial = file.with_suffix(".partial")
    partial.unlink(missing_ok=True)  # of a killed run
    index = RepositoryIndex(partial)
    with index.transaction():
        for document in documents:
            index.put(document.path, document.text)
    index.close()
    partial.rename(file)
