"""What a repository has to say about a cursor beside its surroundings: candidates with scores.

What is asked changes with the cursor's surroundings only, never with the word that is being typed,
so that most keystrokes leave the answer, and with it the KV cache, as it was.
"""

import math
import re
import sqlite3
from collections.abc import Iterable, Mapping

from code_context.chunking import IDENTIFIER
from code_context.index import IndexedChunk, IndexedDefinition, RepositoryIndex
from code_context.languages import family_of
from code_context.name_resolution import Bindings, Resolver
from code_context.recent_edits import RecentRegions
from code_context.scopes import enclosing_scopes
from code_context.snippets import Snippet
from code_context.symbols import imported_names
from code_context.syntax import Span, SyntaxTree

Pieces = list[tuple[str, float]]

CHAIN = re.compile(r"[^\W\d]\w*(?:(?:\.|::|->)[^\W\d]\w*)*")
LINK = re.compile(r"\.|::|->")
LINES_BEFORE, LINES_AFTER = 16, 4
SIGNATURE_WEIGHT = 0.7  # of names in the signatures around the cursor
HALF_WEIGHT = 8  # lines away from the cursor at which a name counts half
MAX_NAMES = 40  # looked up for definitions
MAX_SAME_NAME = 2  # definitions of a name that no import explains; more say nothing
GUESSED = 0.4  # what such a definition is worth
MAX_TERMS = 16  # asked of the full text
MAX_MATCHES = 1_500  # chunks that the terms may hold together: the cost of a search
MAX_CANDIDATES = 16
MIN_SIMILARITY = 0.12
DEFINES = 1.0  # a wanted name that a chunk defines counts that much more
DEFINING = re.compile(r"\b(?:def|class|function|func|fn|struct|interface|trait|enum|type)\s+(\w+)")


class Retriever:
    """The other files of a repository: an index, and above it the documents open in an editor.

    Not thread-safe: one thread owns it. If the index fails, `problem` says why, and there are no
    snippets from then on.
    """

    def __init__(self, index: RepositoryIndex) -> None:
        self._index = index
        self._open = RepositoryIndex()
        self._texts: dict[str, str] = {}
        self._resolver = Resolver(index, self._open, self._texts)
        self._recent = RecentRegions()
        self._indexed: dict[str, str] = {}
        self.problem: str | None = None

    def update_open_documents(self, documents: Mapping[str, str], path: str, line: int) -> None:
        """Take the texts of the documents that are open, by path, in place of the index's files.

        What changed since the last time, and the line (from 0) of `path` where the cursor stands,
        are remembered as recent.
        """
        for closed in self._texts.keys() - documents.keys():
            del self._texts[closed]
            self._open.remove(closed)
            self._indexed.pop(closed, None)
            self._recent.forget(closed)
        for name, text in documents.items():
            before = self._texts.get(name)
            if before is not None and before != text:
                self._recent.edited(name, before, text)
            self._texts[name] = text
            # a file is no neighbour of itself, so it is indexed when another one asks
            if name != path and self._indexed.get(name) != text:
                self._open.put(name, text)
                self._indexed[name] = text
        if path in documents:
            self._recent.viewed(path, line)

    def excluded_files(self) -> dict[str, int]:
        """How many files are not used for which reason."""
        try:
            return self._index.excluded_files()
        except sqlite3.Error:
            return {}

    def snippets(self, tree: SyntaxTree, path: str, offset: int) -> list[Snippet]:
        """Candidates for a cursor in the file `path`, best first within each source."""
        if self.problem is not None:
            return []
        try:
            if self._index.drop_stale_cache() | self._open.drop_stale_cache():
                self._resolver.forget()
            pieces = _surroundings(tree, offset)
            return [
                *self._recents(),
                *self._definitions(tree, path, pieces),
                *self._similar(path, pieces),
            ]
        except sqlite3.Error as error:
            self.problem = f"the repository index cannot be read ({error})"
            return []

    def _recents(self) -> list[Snippet]:
        """Of the file itself too: the context leaves out what its window shows."""
        return [
            one
            for one in self._recent.snippets(self._texts)
            if self._open.exclusion_of(one.path) is None
        ]

    def _definitions(self, tree: SyntaxTree, path: str, pieces: Pieces) -> list[Snippet]:
        imports = Bindings(imported_names(tree))
        found: dict[tuple[str, str], Snippet] = {}
        for chain, weight in _chains(pieces):
            located = self._resolver.imported(chain, imports, path)
            certainty = 1.0
            if not located and len(chain) == 1:
                located = self._resolver.from_everything(chain[0], imports, path)
            if not located:
                located = self._guessed(chain, imports, path)
                certainty = GUESSED
            for one in located:
                if one.path == path:
                    continue
                snippet = Snippet(
                    one.path,
                    _shown(one),
                    "definition",
                    round(weight * certainty, 4),
                    one.definition.line,
                )
                key = (one.path, one.definition.name)
                if key not in found or found[key].score < snippet.score:
                    found[key] = snippet
        return sorted(found.values(), key=_best_first)

    def _guessed(self, chain: list[str], imports: Bindings, path: str) -> list[IndexedDefinition]:
        """Definitions that no import explains: of the last name, else of the class before it."""
        is_member = len(chain) > 1 and chain[0] not in imports.words
        found: list[IndexedDefinition] = []
        if len(chain[-1]) > 2:
            found = self._resolver.named(chain[-1], path, MAX_SAME_NAME, is_member)
        if not found and len(chain) > 1 and chain[0][:1].isupper():
            found = self._resolver.named(chain[0], path, MAX_SAME_NAME, False)
        return found

    def _similar(self, path: str, pieces: Pieces) -> list[Snippet]:
        weights = {
            term: weight * rarity
            for term, weight in _terms(pieces).items()
            if (rarity := max(self._index.idf(term), self._open.idf(term))) > 0
        }
        if not weights:
            return []
        ordered = sorted(weights, key=lambda term: (-weights[term], term))
        candidates: dict[tuple[str, int], IndexedChunk] = {}
        for index in (self._open, self._index):
            for one in index.search(self._affordable(index, ordered), MAX_CANDIDATES):
                hidden = index is self._index and one.path in self._texts
                if one.path != path and not hidden and family_of(one.path) == family_of(path):
                    candidates[one.path, one.chunk.line] = one
        total = sum(weights[term] for term in ordered[:MAX_TERMS])
        found = []
        for one in candidates.values():
            score = min(1.0, _overlap(one.chunk.text, weights) / total)
            if score >= MIN_SIMILARITY:
                text = one.chunk.text
                found.append(Snippet(one.path, text, "similar", round(score, 4), one.chunk.line))
        return sorted(found, key=_best_first)

    def _affordable(self, index: RepositoryIndex, ordered: Iterable[str]) -> list[str]:
        """The most telling terms whose chunks are few enough to rank at once."""
        left, kept = MAX_MATCHES, []
        for term in ordered:
            count = index.chunk_frequency(term)
            if 0 < count <= left:
                kept.append(term)
                left -= count
        return kept[:MAX_TERMS]


def _best_first(snippet: Snippet) -> tuple[float, str, int]:
    return (-snippet.score, snippet.path, snippet.line)


def _shown(one: IndexedDefinition) -> str:
    """A definition's outline; a member stands in its class."""
    definition = one.definition
    if not definition.container or definition.kind == "class":
        return definition.outline
    inner = "".join(f"    {line}\n" for line in definition.outline.splitlines())
    return f"class {definition.container}:\n{inner}"


def _surroundings(tree: SyntaxTree, offset: int) -> Pieces:
    """Code around the cursor in pieces with their weights, without the word that is being typed."""
    lines, text = tree.lines, tree.text
    here = lines.line_of(offset)
    first = max(0, here - LINES_BEFORE)
    last = min(lines.line_count - 1, here + LINES_AFTER)
    window = Span(lines.starts[first], lines.content_end(last))
    silent = [span for kind in ("string", "comment") for span in tree.spans("syntax", kind, window)]
    typed = text[lines.starts[here] : offset]
    end = offset - len(_last_word(typed))
    pieces = [(_without(text, lines.starts[here], end, silent), 1.0)]
    for line in range(first, last + 1):
        if line != here:
            code = _without(text, lines.starts[line], lines.content_end(line), silent)
            pieces.append((code, 1 / (1 + abs(line - here) / HALF_WEIGHT)))
    # what the scopes around say of themselves: base classes, parameters, types
    for scope in enclosing_scopes(tree, offset):
        pieces.append((text[scope.start : min(scope.body_start, offset)], SIGNATURE_WEIGHT))
    return pieces


def _without(text: str, start: int, end: int, silent: list[Span]) -> str:
    """`text[start:end]` with the spans blanked."""
    kept = text[start:end]
    for span in silent:
        low, high = max(span.start - start, 0), min(span.end - start, end - start)
        if low < high:
            kept = kept[:low] + " " * (high - low) + kept[high:]
    return kept


def _last_word(text: str) -> str:
    match = re.search(r"\w*$", text)
    return match[0] if match else ""


def _chains(pieces: Pieces) -> list[tuple[list[str], float]]:
    """Names near the cursor, dotted ones as chains, with the weight of their nearest place."""
    found: dict[str, float] = {}
    for text, weight in pieces:
        for name in CHAIN.findall(text):
            found[name] = max(weight, found.get(name, 0.0))
    best = sorted(found, key=lambda name: (-found[name], name))[:MAX_NAMES]
    return [(LINK.split(name), found[name]) for name in best]


def _terms(pieces: Pieces) -> dict[str, float]:
    """Identifiers near the cursor with the weight of their nearest place."""
    found: dict[str, float] = {}
    for text, weight in pieces:
        for name in IDENTIFIER.findall(text):
            if len(name) > 2:
                found[name] = max(weight, found.get(name, 0.0))
    return found


def _overlap(text: str, weights: dict[str, float]) -> float:
    """The weight of the wanted names that a chunk holds, more for those that it defines."""
    held = set(IDENTIFIER.findall(text)) & weights.keys()
    defined = set(DEFINING.findall(text)) & held
    # sorted: sums of floats depend on their order, and sets have none
    return math.fsum(weights[name] for name in sorted(held)) + DEFINES * math.fsum(
        weights[name] for name in sorted(defined)
    )
