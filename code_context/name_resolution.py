"""From a name in a file to its definition in another: by what the file imports, then by name."""

import posixpath
import re
from collections.abc import Container

from code_context.index import IndexedDefinition, RepositoryIndex
from code_context.languages import family_of, language_of
from code_context.symbols import Import

WILDCARD = "*"
MAX_HOPS = 3  # re-exports that are followed
SEPARATOR = re.compile(r"\.|/|\\|::")
RELATIVE_WORDS = ("crate", "self", "super")


class Bindings:
    """A file's imports, by the words that they bind."""

    def __init__(self, imports: list[Import]) -> None:
        self.words = {word for one in imports for word in one.words}
        self._by_first: dict[str, list[tuple[list[str], Import]]] = {}
        for one in imports:
            bound = [one.bound] if one.name or one.alias else one.module.split(".")
            self._by_first.setdefault(bound[0], []).append((bound, one))
        self.whole = [one for one in imports if one.name in ("", WILDCARD) and not one.alias]

    def of(self, chain: list[str]) -> tuple[Import, list[str]] | None:
        """The import that binds the first names of a chain, and the names that are left."""
        for bound, one in self._by_first.get(chain[0], ()):
            if chain[: len(bound)] == bound:
                return one, chain[len(bound) :]
        return None


class Resolver:
    """Finds definitions in an index; the files of `replaced` count as `above` has them."""

    def __init__(
        self, index: RepositoryIndex, above: RepositoryIndex, replaced: Container[str]
    ) -> None:
        self._index = index
        self._above = above
        self._replaced = replaced
        self._known: dict[tuple[str, str, str], list[str]] = {}

    def forget(self) -> None:
        """An index has changed."""
        self._known.clear()

    def _of(self, path: str) -> RepositoryIndex:
        """The index that knows a file best."""
        return self._above if path in self._replaced else self._index

    def files(self, module: str, importer: str) -> list[str]:
        """Files that a module's name, as `importer` writes it, may stand for, best first."""
        # only the importer's folder and language matter
        folder, _, name = importer.rpartition("/")
        key = (module, folder, name.rpartition(".")[2])
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._files(module, importer)
        return found

    def _files(self, module: str, importer: str) -> list[str]:
        if module.startswith("."):
            return self._exactly(_relative(module, importer))
        if language_of(module) is not None:  # a file's name: C's headers
            module = module.rpartition(".")[0]
        parts = [part for part in SEPARATOR.split(module) if part and part not in RELATIVE_WORDS]
        if not parts:
            return []
        found = []
        for index in (self._above, self._index):
            for stem, path in index.files_by_stem_name(parts[-1]):
                shared = _shared_tail(stem.split("/"), parts)
                # a package's own folder may be the root, so its name may be missing in the path
                if shared == len(parts) or (shared >= 2 and shared == len(stem.split("/"))):
                    found.append((-shared, stem.count("/"), path))
        return list(dict.fromkeys(path for *_, path in sorted(found)))[:4]

    def imported(self, chain: list[str], imports: Bindings, path: str) -> list[IndexedDefinition]:
        """Definitions behind a chain of names (`a.b.c`) whose first one an import binds."""
        bound = imports.of(chain)
        if bound is None:
            return []
        one, rest = bound
        if not one.name:
            return self._in_module(one.module, rest[0], path, MAX_HOPS) if rest else []
        found = self._in_module(one.module, one.name, path, MAX_HOPS)
        joined = one.module + ("" if one.module.endswith(".") else ".") + one.name
        if not found and rest:  # the name was a module
            found = self._in_module(joined, rest[0], path, MAX_HOPS)
        # the module was a folder, with one file for each class
        return found or self._in_module(joined, one.name, path, 0)

    def from_everything(self, name: str, imports: Bindings, path: str) -> list[IndexedDefinition]:
        """Definitions of a name in modules that are imported whole, unqualified."""
        for one in imports.whole:
            found = self._in_module(one.module, name, path, 0)
            if found:
                return found
        return []

    def named(self, name: str, path: str, most: int, is_member: bool) -> list[IndexedDefinition]:
        """Classes and functions of a name in other files, none if there are more than `most`.

        `is_member`: those that stand in a class, else those at the top level.
        """
        found = [
            one
            for index in (self._above, self._index)
            for one in index.definitions(name, 4 * most)
            if bool(one.definition.container) is is_member
            and one.path != path
            and family_of(one.path) == family_of(path)
            and self._of(one.path) is index
        ]
        return found if len(found) <= most else []

    def _exactly(self, stem: str) -> list[str]:
        last = stem.rpartition("/")[2]
        found = [
            path
            for index in (self._above, self._index)
            for other, path in index.files_by_stem_name(last)
            if other == stem
        ]
        return list(dict.fromkeys(found))

    def _in_module(
        self, module: str, name: str, importer: str, hops: int
    ) -> list[IndexedDefinition]:
        for file in self.files(module, importer):
            index = self._of(file)
            if file != importer and (found := index.definitions_in(file, name)):
                return found
            for one in index.imports_of(file) if hops else ():
                if one.name and one.bound == name:
                    found = self._in_module(one.module, one.name, file, hops - 1)
                elif one.name == WILDCARD:
                    found = self._in_module(one.module, name, file, 0)
                else:
                    continue
                if found:
                    return found
        return []


def _relative(module: str, importer: str) -> str:
    folder = posixpath.dirname(importer)
    if "/" in module or module in (".", ".."):
        joined = posixpath.normpath(posixpath.join(folder, module))
        return joined.rpartition(".")[0] if language_of(joined) is not None else joined
    dots = len(module) - len(module.lstrip("."))
    for _ in range(dots - 1):
        folder = posixpath.dirname(folder)
    return posixpath.join(folder, *module[dots:].split(".")).rstrip("/")


def _shared_tail(one: list[str], other: list[str]) -> int:
    count = 0
    for mine, theirs in zip(reversed(one), reversed(other), strict=False):
        if mine != theirs:
            break
        count += 1
    return count
