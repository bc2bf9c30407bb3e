"""Cross-file retrieval: scored snippets for a cursor.

The query depends on the code around the cursor without the word that is being typed. So most
keystrokes change neither the snippets nor the KV cache that was computed for them.
"""

import math
import re
import sqlite3
from collections.abc import Iterable, Mapping

from code_context.chunking import IDENTIFIER
from code_context.index import IndexedChunk, IndexedDefinition, RepositoryIndex
from code_context.languages import family_of
from code_context.name_resolution import ImportedNames, NameResolver
from code_context.query_context import QueryPart, query_parts
from code_context.recent_edits import RecentRegions
from code_context.snippets import Snippet
from code_context.source_text import with_line_feeds
from code_context.symbols import imported_names
from code_context.syntax import SyntaxTree

CHAIN = re.compile(r"[^\W\d]\w*(?:(?:\.|::|->)[^\W\d]\w*)*")
CHAIN_SEPARATOR = re.compile(r"\.|::|->")
DEFINING = re.compile(r"\b(?:def|class|function|func|fn|struct|interface|trait|enum|type)\s+(\w+)")
MAX_CHAINS = 40  # for which definitions are looked up
MAX_SAME_NAME = 2  # definitions of a name that is not imported; more are ambiguous
NOT_IMPORTED_WEIGHT = 0.4  # of such a definition
MAX_TERMS = 16  # of a full-text search
MAX_MATCHES = 1_500  # chunks that contain the terms: bounds the time of a search
MAX_SIMILAR = 16  # chunks per index
MIN_SIMILARITY = 0.12
DEFINED_WEIGHT = 1.0  # added to the weight of a name that the chunk defines


class Retriever:
    """Retrieval from an index, with the open documents of an editor in place of their files.

    Not thread-safe: one thread owns it. If the index cannot be read, `problem` says why, and there
    are no snippets from then on.
    """

    def __init__(self, index: RepositoryIndex) -> None:
        self._index = index
        self._open_index = RepositoryIndex()
        self._open_texts: dict[str, str] = {}
        self._resolver = NameResolver(index, self._open_index, self._open_texts)
        self._recent = RecentRegions()
        self._indexed_texts: dict[str, str] = {}
        self.problem: str | None = None

    def update_open_documents(self, documents: Mapping[str, str], path: str, line: int) -> None:
        """Set the texts of all open documents, by path; the cursor is in `path` on `line` (from 0).

        Differences to the previous call and the cursor's line become recent regions.
        """
        documents = {name: with_line_feeds(text) for name, text in documents.items()}
        for closed in self._open_texts.keys() - documents.keys():
            del self._open_texts[closed]
            self._open_index.remove(closed)
            self._indexed_texts.pop(closed, None)
            self._recent.remove_file(closed)
        for name, text in documents.items():
            before = self._open_texts.get(name)
            if before is not None and before != text:
                self._recent.add_edit(name, before, text)
            self._open_texts[name] = text
            # nothing is retrieved from the cursor's own file, so index it when the cursor leaves
            if name != path and self._indexed_texts.get(name) != text:
                self._open_index.put(name, text)
                self._indexed_texts[name] = text
        if path in documents:
            self._recent.add_view(path, line)

    def close(self) -> None:
        """Close the index, whose file would else stay open until garbage is collected."""
        self._index.close()
        self._open_index.close()

    def excluded_files(self) -> dict[str, int]:
        """The number of files that are not used, by reason."""
        try:
            return self._index.excluded_files()
        except sqlite3.Error:
            return {}

    def snippets(self, tree: SyntaxTree, path: str, offset: int) -> list[Snippet]:
        """Snippets for a cursor in the file `path`, best first within each source."""
        if self.problem is not None:
            return []
        try:
            if self._index.drop_stale_cache() | self._open_index.drop_stale_cache():
                self._resolver.clear_cache()
            parts = query_parts(tree, offset)
            return [
                *self._recent_snippets(),
                *self._definitions(tree, path, parts),
                *self._similar(path, family_of(path, tree.language or ""), parts),
            ]
        except sqlite3.Error as error:
            self.problem = f"the repository index cannot be read ({error})"
            return []

    def _recent_snippets(self) -> list[Snippet]:
        """Also from the cursor's file: `build_context` leaves out what the window shows."""
        return [
            snippet
            for snippet in self._recent.snippets(self._open_texts)
            if self._open_index.exclusion_of(snippet.path) is None
        ]

    def _definitions(self, tree: SyntaxTree, path: str, parts: list[QueryPart]) -> list[Snippet]:
        """Definitions of the names near the cursor: by the file's imports, else by name."""
        imports = ImportedNames(imported_names(tree))
        best: dict[tuple[str, str], Snippet] = {}
        for chain, weight in _chains(parts):
            definitions = self._resolver.imported(chain, imports, path)
            if not definitions and len(chain) == 1:
                definitions = self._resolver.from_wildcards(chain[0], imports, path)
            if not definitions:
                definitions = self._by_name(chain, imports, path)
                weight *= NOT_IMPORTED_WEIGHT
            for indexed in definitions:
                if indexed.path == path:
                    continue
                definition = indexed.definition
                snippet = Snippet(
                    indexed.path,
                    definition.outline,
                    "definition",
                    round(weight, 4),
                    definition.line,
                )
                key = (indexed.path, definition.name)
                if key not in best or best[key].score < snippet.score:
                    best[key] = snippet
        return sorted(best.values(), key=_best_first)

    def _by_name(
        self, chain: list[str], imports: ImportedNames, path: str
    ) -> list[IndexedDefinition]:
        """Definitions of a chain's last name that no import explains; else of its class."""
        is_member = len(chain) > 1 and chain[0] not in imports.words
        definitions: list[IndexedDefinition] = []
        if len(chain[-1]) > 2:
            definitions = self._resolver.by_name(chain[-1], path, MAX_SAME_NAME, is_member)
        if not definitions and len(chain) > 1 and chain[0][:1].isupper():
            definitions = self._resolver.by_name(chain[0], path, MAX_SAME_NAME, False)
        return definitions

    def _similar(self, path: str, family: str | None, parts: list[QueryPart]) -> list[Snippet]:
        """Chunks that contain rare names of the query: candidates by BM25, scored by weight."""
        weights = {
            term: weight * idf
            for term, weight in _terms(parts).items()
            if (idf := max(self._index.idf(term), self._open_index.idf(term))) > 0
        }
        if not weights:
            return []
        by_weight = sorted(weights, key=lambda term: (-weights[term], term))
        chunks: dict[tuple[str, int], IndexedChunk] = {}
        for index in (self._open_index, self._index):
            for indexed in index.search(_affordable(index, by_weight), MAX_SIMILAR):
                is_replaced = index is self._index and indexed.path in self._open_texts
                is_related = indexed.path != path and family_of(indexed.path) == family
                if is_related and not is_replaced:
                    chunks[indexed.path, indexed.chunk.line] = indexed
        total = sum(weights[term] for term in by_weight[:MAX_TERMS])
        snippets = []
        for indexed in chunks.values():
            chunk = indexed.chunk
            score = min(1.0, _matched_weight(chunk.text, weights) / total)
            if score >= MIN_SIMILARITY:
                snippets.append(
                    Snippet(indexed.path, chunk.text, "similar", round(score, 4), chunk.line)
                )
        return sorted(snippets, key=_best_first)


def _affordable(index: RepositoryIndex, terms: Iterable[str]) -> list[str]:
    """The first terms that together occur in at most `MAX_MATCHES` chunks of the index."""
    left, kept = MAX_MATCHES, []
    for term in terms:
        frequency = index.chunk_frequency(term)
        if 0 < frequency <= left:
            kept.append(term)
            left -= frequency
    return kept[:MAX_TERMS]


def _best_first(snippet: Snippet) -> tuple[float, str, int]:
    return (-snippet.score, snippet.path, snippet.line)


def _chains(parts: list[QueryPart]) -> list[tuple[list[str], float]]:
    """Names of the query with their highest weight; `a.b.c` is one chain of three names."""
    weights: dict[str, float] = {}
    for part in parts:
        for chain in CHAIN.findall(part.text):
            weights[chain] = max(part.weight, weights.get(chain, 0.0))
    best = sorted(weights, key=lambda chain: (-weights[chain], chain))[:MAX_CHAINS]
    return [(CHAIN_SEPARATOR.split(chain), weights[chain]) for chain in best]


def _terms(parts: list[QueryPart]) -> dict[str, float]:
    """Identifiers of the query with their highest weight."""
    weights: dict[str, float] = {}
    for part in parts:
        for name in IDENTIFIER.findall(part.text):
            if len(name) > 2:
                weights[name] = max(part.weight, weights.get(name, 0.0))
    return weights


def _matched_weight(text: str, weights: dict[str, float]) -> float:
    """The sum of the weights of the names in a chunk; names that it defines count more."""
    contained = set(IDENTIFIER.findall(text)) & weights.keys()
    defined = set(DEFINING.findall(text)) & contained
    # sorted, because a sum of floats depends on the order
    return math.fsum(weights[name] for name in sorted(contained)) + DEFINED_WEIGHT * math.fsum(
        weights[name] for name in sorted(defined)
    )
