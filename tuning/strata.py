"""The stratum of a hole: its text names a symbol of another file, one of its own, or neither."""

import builtins
import keyword
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Literal

from code_context.holes import Hole
from tuning.corpus import SourceFile

Stratum = Literal["cross_file", "in_file", "rest"]
STRATA: tuple[Stratum, ...] = ("cross_file", "in_file", "rest")
NAME = re.compile(r"[A-Za-z_]\w{2,}")
DEFINED = re.compile(
    r"^[ \t]*(?:(?:async|export|default|pub|public|static|final|abstract)[ \t]+)*"
    r"(?:def|class|function|func|fn|struct|enum|trait|interface|type)[ \t]+(\w+)"
    r"|^([A-Za-z_]\w*)[ \t]*[:=]",
    re.MULTILINE,
)
EVERYWHERE = {*dir(builtins), *keyword.kwlist, "self", "cls", "__init__"}


def stratum_of(files: Sequence[SourceFile]) -> Callable[[SourceFile, Hole], Stratum]:
    """The function that gives the stratum of a hole of a repository.

    "cross_file": the hidden text names something that another file defines (a class, function or
    top-level variable) and this one does not; else "in_file": it names something that occurs
    elsewhere in this file; else "rest". Names that are Python's own do not count.
    """
    definitions = {file.path: _defined(file.text) for file in files}
    defined_by = Counter(name for names in definitions.values() for name in names)

    def sort(file: SourceFile, hole: Hole) -> Stratum:
        hidden = set(NAME.findall(file.text[hole.start : hole.end])) - EVERYWHERE
        around = file.text[: hole.start] + "\n" + file.text[hole.end :]
        own = _defined(around)
        others = definitions.get(file.path, set())
        if any(name not in own and defined_by[name] > (name in others) for name in hidden):
            return "cross_file"
        return "in_file" if hidden & set(NAME.findall(around)) else "rest"

    return sort


def _defined(text: str) -> set[str]:
    return {first or second for first, second in DEFINED.findall(text)} - EVERYWHERE
