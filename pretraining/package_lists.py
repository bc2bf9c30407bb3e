"""The packages of the corpus, at exact versions: one file in `packages` for each language.

A file has the tables `training.SOURCE` and `held_out.SOURCE`, versions by name.
"""

import hashlib
import platform
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from pretraining.corpus import LANGUAGES

LISTS = Path(__file__).parent / "packages"
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


@cache
def listed(language: str) -> tuple[Package, ...]:
    """All packages of a language, those held out first; of Python, its standard library as well."""
    sides = tomllib.loads(_list(language).read_text(encoding="utf-8"))
    packages = tuple(
        Package(name, version, source, language, side == "held_out")
        for side in ("held_out", "training")
        for source, versions in sides[side].items()
        for name, version in versions.items()
    )
    return (*packages, STANDARD_LIBRARY) if language == "python" else packages


def held_out(language: str = "python") -> dict[str, str]:
    """Versions of a language's held-out packages by name."""
    return {package.name: package.version for package in listed(language) if package.held_out}


def digest(language: str) -> str:
    """Changes with what a language is built from: its list, and what others hold out."""
    others = [package for each in LANGUAGES for package in listed(each) if package.held_out]
    return hashlib.sha256(repr((listed(language), others)).encode()).hexdigest()


def _list(language: str) -> Path:
    return LISTS / f"{language}.toml"
