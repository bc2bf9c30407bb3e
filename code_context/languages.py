"""The supported languages: each is a folder of data in `languages/` plus its grammar's package.

`language.toml` names the grammar and describes blocks and documentation comments; the tree-sitter
queries are in `syntax.scm` (definitions, imports, strings, comments) and `holes.scm` (spans that
tuning hides). To add a language, add a folder.
"""

import importlib
import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal

import tree_sitter

QueryName = Literal["syntax", "symbols", "holes"]
TEXT_CAPTURES = ("@string", "@comment")


@dataclass(frozen=True)
class Language:
    """The data of one language, read from its `language.toml`.

    Reason for its size: the fields are the keys of that file.
    """

    key: str
    name: str
    grammar: str
    suffixes: tuple[str, ...]
    queries_from: str = ""
    """Key of another language whose queries are used, for grammars that are similar enough."""
    family: str = ""
    """Shared by languages whose files use each other's definitions; the key by default."""
    folder_files: tuple[str, ...] = ()
    """Stems of files that stand for their folder in imports, such as `__init__`."""
    language_ids: tuple[str, ...] = ()
    """Language identifiers of LSP besides the key."""
    import_words: tuple[str, ...] = ()
    """Every import contains one of these words. If empty, imports are searched everywhere."""
    documentation: Literal["string", "comments"] = "comments"
    """Where a definition is documented: the first string of its body, or comments above it."""
    block: Literal["indentation", "braces", "end"] = "braces"
    block_opener: str = ""
    line_quotes: tuple[str, ...] = ("'", '"')
    """What opens and closes a string that ends on its line."""
    multiline_quotes: tuple[str, ...] = ()
    """The same for strings that may have several lines, longer ones first."""
    interpolation: str = ""
    """What opens code in a string; `}` closes it."""
    interpolated_prefix: str = ""
    """Letters of which one stands before a string that holds code; if empty, none is needed."""
    block_comment: tuple[str, ...] = ("/*", "*/")
    """What opens and closes a comment of several lines; empty if there are none."""

    @property
    def opener(self) -> re.Pattern[str]:
        """Matches the first line of a statement that opens a block."""
        return re.compile(r"\s*" + self.block_opener)


@cache
def languages() -> dict[str, Language]:
    """All languages by key."""
    result = {}
    for folder in sorted(_root().iterdir(), key=lambda entry: entry.name):
        file = folder / "language.toml"
        if file.is_file():
            data = tomllib.loads(file.read_text("utf-8"))
            tuples = {key: tuple(value) for key, value in data.items() if isinstance(value, list)}
            result[folder.name] = Language(folder.name, **(data | tuples))
    return result


@cache
def is_tunable(key: str | None) -> bool:
    """Whether a language has a query for holes, which tuning needs."""
    if key is None:
        return False
    return (_root() / (languages()[key].queries_from or key) / "holes.scm").is_file()


@cache
def _by_suffix() -> dict[str, str]:
    return {
        suffix: language.key for language in languages().values() for suffix in language.suffixes
    }


@cache
def _by_language_id() -> dict[str, str]:
    return {
        id_: language.key
        for language in languages().values()
        for id_ in (language.key, *language.language_ids)
    }


def language_of(path: str, language_id: str = "") -> str | None:
    """The key of the language of a file, by its suffix; None if unknown.

    If the suffix is unknown, the editor's `language_id` (an identifier of LSP) decides.
    """
    name = path[path.rfind("/") + 1 :]
    dot = name.rfind(".")
    key = _by_suffix().get(name[dot:].lower()) if dot > 0 else None
    return key if key is not None else _by_language_id().get(language_id.lower())


def family_of(path: str, language_id: str = "") -> str | None:
    """The family of a file's language; None if the language is unknown."""
    key = language_of(path, language_id)
    return None if key is None else languages()[key].family or key


@cache
def grammar(key: str) -> tree_sitter.Language:
    """The grammar of a language, loaded on first use."""
    module, _, function = languages()[key].grammar.rpartition(".")
    return tree_sitter.Language(getattr(importlib.import_module(module), function)())


@cache
def query(key: str, name: QueryName) -> tree_sitter.Query | None:
    """A compiled query of a language; None if the language has no such file.

    "symbols" is "syntax" without the patterns for strings and comments, which match most often. The
    patterns for holes of a language's family also apply to the language.
    """
    language, stem = languages()[key], "syntax" if name == "symbols" else name
    folders = [language.queries_from or key]
    if name == "holes" and language.family:
        folders.insert(0, language.family)
    files = [file for folder in folders if (file := _root() / folder / f"{stem}.scm").is_file()]
    if not files:
        return None
    source = b"\n".join(file.read_bytes() for file in files)
    compiled = tree_sitter.Query(grammar(key), source.decode("utf-8"))
    for pattern in range(compiled.pattern_count if name == "symbols" else 0):
        start = compiled.start_byte_for_pattern(pattern)
        end = compiled.end_byte_for_pattern(pattern)
        if source[start:end].decode("utf-8").rstrip().endswith(TEXT_CAPTURES):
            compiled.disable_pattern(pattern)
    return compiled


def _root() -> resources.abc.Traversable:
    return resources.files("code_context") / "languages"
