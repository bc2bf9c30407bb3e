"""Resolve a name in a file to its definition in another file: by imports, else by the name."""

import posixpath
import re
from collections.abc import Container

from code_context.index import IndexedDefinition, RepositoryIndex
from code_context.languages import family_of, language_of
from code_context.symbols import Import

WILDCARD = "*"
MAX_HOPS = 3  # re-exports that are followed
MAX_FILES = 4  # that one module name may stand for
SEPARATOR = re.compile(r"\.|/|\\|::")
RELATIVE_WORDS = ("crate", "self", "super")  # of Rust's paths


class ImportedNames:
    """A file's imports, by the names that they bind. `words` may all refer to an import."""

    def __init__(self, imports: list[Import]) -> None:
        self.words = {word for entry in imports for word in entry.words}
        self.wildcards = [
            entry for entry in imports if entry.name in ("", WILDCARD) and not entry.alias
        ]
        self._by_first_name: dict[str, list[tuple[list[str], Import]]] = {}
        for entry in imports:
            names = [entry.bound_name] if entry.name or entry.alias else entry.module.split(".")
            self._by_first_name.setdefault(names[0], []).append((names, entry))

    def binding(self, chain: list[str]) -> tuple[Import, list[str]] | None:
        """The import that binds the first names of a chain, and the chain's other names."""
        for names, entry in self._by_first_name.get(chain[0], ()):
            if chain[: len(names)] == names:
                return entry, chain[len(names) :]
        return None


class NameResolver:
    """Finds definitions in `index`; for the files in `open_paths`, in `open_index` instead."""

    def __init__(
        self, index: RepositoryIndex, open_index: RepositoryIndex, open_paths: Container[str]
    ) -> None:
        self._index = index
        self._open_index = open_index
        self._open_paths = open_paths
        self._module_files: dict[tuple[str, str, str], list[str]] = {}

    def clear_cache(self) -> None:
        """Call it when an index has changed."""
        self._module_files.clear()

    def module_files(self, module: str, importer: str) -> list[str]:
        """Files that a module name in the file `importer` may stand for, best first."""
        # the result depends on the importer's folder and suffix only
        folder, _, name = importer.rpartition("/")
        key = (module, folder, name.rpartition(".")[2])
        files = self._module_files.get(key)
        if files is None:
            files = self._module_files[key] = self._find_module_files(module, importer)
        return files

    def imported(
        self, chain: list[str], imports: ImportedNames, path: str
    ) -> list[IndexedDefinition]:
        """Definitions of a chain of names (`a.b.c`) whose first name is bound by an import."""
        binding = imports.binding(chain)
        if binding is None:
            return []
        entry, rest = binding
        if not entry.name:
            return self._in_module(entry.module, rest[0], path, MAX_HOPS) if rest else []
        definitions = self._in_module(entry.module, entry.name, path, MAX_HOPS)
        submodule = entry.module + ("" if entry.module.endswith(".") else ".") + entry.name
        if not definitions and rest:  # the imported name is a module
            definitions = self._in_module(submodule, rest[0], path, MAX_HOPS)
        # the module may be a folder with one file per class
        return definitions or self._in_module(submodule, entry.name, path, 0)

    def from_wildcards(
        self, name: str, imports: ImportedNames, path: str
    ) -> list[IndexedDefinition]:
        """Definitions of an unqualified name in modules that are imported as a whole."""
        for entry in imports.wildcards:
            definitions = self._in_module(entry.module, name, path, 0)
            if definitions:
                return definitions
        return []

    def by_name(
        self, name: str, path: str, max_definitions: int, is_member: bool
    ) -> list[IndexedDefinition]:
        """Classes and functions with this name in other files of the language's family.

        Members of classes if `is_member`, else top-level ones. Empty if there are more than
        `max_definitions`.
        """
        definitions = [
            indexed
            for index in (self._open_index, self._index)
            for indexed in index.definitions(name, 4 * max_definitions)
            if bool(indexed.definition.container) is is_member
            and indexed.path != path
            and family_of(indexed.path) == family_of(path)
            and self._index_of(indexed.path) is index
        ]
        return definitions if len(definitions) <= max_definitions else []

    def _index_of(self, path: str) -> RepositoryIndex:
        return self._open_index if path in self._open_paths else self._index

    def _find_module_files(self, module: str, importer: str) -> list[str]:
        if module.startswith("."):
            return self._files_with_stem(_relative_stem(module, importer))
        if language_of(module) is not None:  # a file name, as in C's #include
            module = module.rpartition(".")[0]
        parts = [part for part in SEPARATOR.split(module) if part and part not in RELATIVE_WORDS]
        if not parts:
            return []
        ranked = []
        for index in (self._open_index, self._index):
            for stem, path in index.files_by_stem_name(parts[-1]):
                components = stem.split("/")
                shared = _common_suffix(components, parts)
                # the root may be inside the package: then the path lacks the package's name
                if shared == len(parts) or (shared >= 2 and shared == len(components)):
                    ranked.append((-shared, stem.count("/"), path))
        return list(dict.fromkeys(path for *_, path in sorted(ranked)))[:MAX_FILES]

    def _files_with_stem(self, stem: str) -> list[str]:
        paths = [
            path
            for index in (self._open_index, self._index)
            for other, path in index.files_by_stem_name(stem.rpartition("/")[2])
            if other == stem
        ]
        return list(dict.fromkeys(paths))

    def _in_module(
        self, module: str, name: str, importer: str, max_hops: int
    ) -> list[IndexedDefinition]:
        """Definitions of a name in a module, or where the module imports it from."""
        for file in self.module_files(module, importer):
            index = self._index_of(file)
            if file != importer and (definitions := index.definitions_in(file, name)):
                return definitions
            for entry in index.imports_of(file) if max_hops else ():
                if entry.name and entry.bound_name == name:
                    definitions = self._in_module(entry.module, entry.name, file, max_hops - 1)
                elif entry.name == WILDCARD:
                    definitions = self._in_module(entry.module, name, file, 0)
                else:
                    continue
                if definitions:
                    return definitions
        return []


def _relative_stem(module: str, importer: str) -> str:
    """The stem of a relative module name: a path (`./a`) or dotted, as in Python (`..a.b`)."""
    folder = posixpath.dirname(importer)
    if "/" in module or module in (".", ".."):
        path = posixpath.normpath(posixpath.join(folder, module))
        return path.rpartition(".")[0] if language_of(path) is not None else path
    dots = len(module) - len(module.lstrip("."))
    for _ in range(dots - 1):
        folder = posixpath.dirname(folder)
    return posixpath.join(folder, *module[dots:].split(".")).rstrip("/")


def _common_suffix(left: list[str], right: list[str]) -> int:
    """The number of last elements that are equal in both lists."""
    count = 0
    for one, other in zip(reversed(left), reversed(right), strict=False):
        if one != other:
            break
        count += 1
    return count
