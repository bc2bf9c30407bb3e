"""The languages: each is a folder of data in `languages/` and the wheel of its grammar.

`language.toml` names the grammar and says how blocks and descriptions look; `syntax.scm` asks for
definitions, imports, strings and comments, `holes.scm` (where tuning is supported) for spans to
hide. To add a language, add a folder.
"""

import importlib
import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import PurePath
from typing import Literal

import tree_sitter

Questions = Literal["syntax", "holes"]


@dataclass(frozen=True)
class Language:
    """One language's data, as its `language.toml` has it."""

    key: str
    name: str
    grammar: str
    suffixes: tuple[str, ...]
    questions: str = ""
    """Another language's key whose questions are asked, where grammars are that similar."""
    family: str = ""
    """What languages have in common whose files use each other; by default the key."""
    folder_files: tuple[str, ...] = ()
    description: Literal["string", "comments"] = "comments"
    block: Literal["indentation", "braces", "end"] = "braces"
    block_opener: str = ""

    @property
    def opener(self) -> re.Pattern[str]:
        """Matches the first line of a statement that begins a block."""
        return re.compile(r"\s*" + self.block_opener)


@cache
def languages() -> dict[str, Language]:
    """All languages by key."""
    found = {}
    for folder in sorted(_root().iterdir(), key=lambda entry: entry.name):
        file = folder / "language.toml"
        if file.is_file():
            data = tomllib.loads(file.read_text("utf-8"))
            lists = {key: tuple(value) for key, value in data.items() if isinstance(value, list)}
            found[folder.name] = Language(folder.name, **(data | lists))
    return found


@cache
def _by_suffix() -> dict[str, str]:
    return {suffix: one.key for one in languages().values() for suffix in one.suffixes}


def language_of(path: str) -> str | None:
    """The key of the language that a file name's ending stands for, None if unknown."""
    return _by_suffix().get(PurePath(path).suffix.lower())


def family_of(path: str) -> str | None:
    """The family of a file's language, None if it is unknown."""
    key = language_of(path)
    return None if key is None else languages()[key].family or key


@cache
def grammar(key: str) -> tree_sitter.Language:
    """The grammar of a language, loaded on first use."""
    module, _, function = languages()[key].grammar.rpartition(".")
    return tree_sitter.Language(getattr(importlib.import_module(module), function)())


@cache
def query(key: str, questions: Questions) -> tree_sitter.Query | None:
    """A language's questions, None if it has no such file."""
    file = _root() / (languages()[key].questions or key) / f"{questions}.scm"
    return tree_sitter.Query(grammar(key), file.read_text("utf-8")) if file.is_file() else None


def _root() -> resources.abc.Traversable:
    return resources.files("code_context") / "languages"
