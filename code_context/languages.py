"""The languages: each is a folder of data in `languages/` and the wheel of its grammar.

`language.toml` names the grammar and says how blocks and descriptions look; `syntax.scm` asks for
definitions, imports, strings and comments, `holes.scm` for spans to hide. To add a language, add a
folder.
"""

import importlib
import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal

import tree_sitter

Questions = Literal["syntax", "symbols", "holes"]
TEXT = ("@string", "@comment")


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
    import_words: tuple[str, ...] = ()
    """One of them stands in every import; without them, imports are looked for everywhere."""
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
def is_tunable(key: str | None) -> bool:
    """Whether it is known what to hide in files of a language."""
    if key is None:
        return False
    return (_root() / (languages()[key].questions or key) / "holes.scm").is_file()


@cache
def _by_suffix() -> dict[str, str]:
    return {suffix: one.key for one in languages().values() for suffix in one.suffixes}


def language_of(path: str) -> str | None:
    """The key of the language that a file name's ending stands for, None if unknown."""
    name = path[path.rfind("/") + 1 :]
    dot = name.rfind(".")
    return _by_suffix().get(name[dot:].lower()) if dot > 0 else None


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
    """A language's questions, None if it has no such file.

    "symbols" are those of "syntax" that do not ask for strings and comments, of which files are
    full. What is hidden in a language's family is hidden in it too.
    """
    one, stem = languages()[key], "syntax" if questions == "symbols" else questions
    folders = [one.questions or key]
    if questions == "holes" and one.family:
        folders.insert(0, one.family)
    files = [file for name in folders if (file := _root() / name / f"{stem}.scm").is_file()]
    if not files:
        return None
    source = b"\n".join(file.read_bytes() for file in files)
    found = tree_sitter.Query(grammar(key), source.decode("utf-8"))
    for number in range(found.pattern_count if questions == "symbols" else 0):
        start, end = found.start_byte_for_pattern(number), found.end_byte_for_pattern(number)
        if source[start:end].decode("utf-8").rstrip().endswith(TEXT):
            found.disable_pattern(number)
    return found


def _root() -> resources.abc.Traversable:
    return resources.files("code_context") / "languages"
