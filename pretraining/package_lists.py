"""The packages of the corpus, at exact versions: one file in `packages` for each language.

A file has the tables `training.SOURCE` and `held_out.SOURCE`, versions by name.
"""

import hashlib
import platform
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pretraining.corpus import LANGUAGES

FOLDER = Path(__file__).parent / "packages"
SourceName = Literal["pip", "npm", "deb", "deb-src", "installed"]


@dataclass(frozen=True)
class Package:
    """One package at one version, which the corpus takes the files of one language from."""

    name: str
    version: str
    source: SourceName
    language: str
    held_out: bool


STANDARD_LIBRARY = Package(
    "python", platform.python_version(), "installed", "python", held_out=False
)


Lists = Mapping[str, Sequence[Package]]
"""Packages of every language."""


def listed(per_language: int | None = None) -> Lists:
    """All packages, those held out first; of Python, its standard library as well.

    With `per_language`, so many of each to train on, evenly from its list: for a rehearsal.
    """
    return {language: _listed(language, per_language) for language in LANGUAGES}


def _listed(language: str, limit: int | None) -> list[Package]:
    sides = tomllib.loads((FOLDER / f"{language}.toml").read_text(encoding="utf-8"))
    held_out, training = (
        [
            Package(name, version, source, language, side == "held_out")
            for source, versions in sides[side].items()
            for name, version in versions.items()
        ]
        for side in ("held_out", "training")
    )
    if limit is not None:
        training = training[:: max(1, len(training) // limit)][:limit]
    return held_out + training + ([STANDARD_LIBRARY] if language == "python" else [])


def held_out(language: str = "python") -> dict[str, str]:
    """Versions of a language's held-out packages by name."""
    return {each.name: each.version for each in listed()[language] if each.held_out}


def digest(lists: Lists, language: str) -> str:
    """Changes with what a language is built from: its packages, and what others hold out."""
    held_out = [each for packages in lists.values() for each in packages if each.held_out]
    return hashlib.sha256(repr((list(lists[language]), held_out)).encode()).hexdigest()
