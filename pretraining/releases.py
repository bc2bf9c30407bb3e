"""Fetched packages: the files of one language in them, and the licence of each file."""

import os
import re
import sysconfig
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from code_context.languages import languages
from pretraining import archives, licences, sources
from pretraining.corpus import CorpusError
from pretraining.package_lists import Package

_LICENCE_FILES = {
    "pip": re.compile(r"[^/]+\.dist-info/METADATA|PKG-INFO"),
    "npm": re.compile(r"package\.json"),
    "deb": re.compile(r"usr/share/doc/[^/]+/copyright"),
    "deb-src": re.compile(r"debian/copyright"),
}
# where Debian's packages for development install source; what follows is the path in the release
_INSTALLED = re.compile(r"usr/share/(?:cargo/registry/[^/]+|gocode/src)/(.*)")


@dataclass(frozen=True)
class Release:
    """The files of one package in its language, and what their licences are."""

    files: list[tuple[str, bytes]]
    licence_of: licences.LicenceOf


def read_release(package: Package, folder: Path) -> Release:
    """The files of a fetched package. Raises `CorpusError` if it is missing or damaged."""
    if package.source == "installed":
        return _standard_library()
    fetched = sources.folder_of(package, folder)
    if not fetched.is_dir():
        raise CorpusError(f"{package.name} {package.version} is not fetched; run `corpus` again.")
    suffixes, licence_file = suffixes_of(package.language), _LICENCE_FILES[package.source]
    files: dict[str, bytes] = {}
    metadata = b""
    for archive in sorted(fetched.iterdir()):
        for name, content in archives.members(
            archive, lambda name: name.endswith(suffixes) or bool(licence_file.fullmatch(name))
        ):
            if licence_file.fullmatch(name):
                metadata = content
            else:
                files[name] = content
    if package.source == "deb":
        files = _as_in_release(files, package.language)
    return Release(sorted(files.items()), _licence_of(package, metadata))


def _as_in_release(files: dict[str, bytes], language: str) -> dict[str, bytes]:
    """Installed files by their paths in the release, which the licences name."""
    found = {match[1]: name for name in files if (match := _INSTALLED.fullmatch(name))}
    root = ""
    if language == "go" and found:  # installed by import path, which has no fixed length
        root = os.path.commonpath([os.path.dirname(path) for path in found])
    return {path.removeprefix(root).lstrip("/"): files[name] for path, name in found.items()}


def _licence_of(package: Package, metadata: bytes) -> licences.LicenceOf:
    match package.source:
        case "pip":
            licence = licences.of_python_package(metadata)
        case "npm":
            licence = licences.of_npm_package(metadata)
        case "deb" | "deb-src":
            return licences.of_debian_package(metadata)
        case _:
            raise ValueError(f"{package.source} has no licence files")
    return lambda path: licence


def _standard_library() -> Release:
    """Of the Python that runs this."""
    root = Path(sysconfig.get_paths()["stdlib"])
    paths = [path.relative_to(root) for path in sorted(root.rglob("*.py"))]
    files = [
        (path.as_posix(), (root / path).read_bytes())
        for path in paths
        if "site-packages" not in path.parts
    ]
    return Release(files, lambda path: "PSF-2.0")


@cache
def suffixes_of(language: str) -> tuple[str, ...]:
    """Of the files taken from packages listed under a language."""
    suffixes = languages()[language].suffixes
    match language:
        case "typescript":
            return suffixes + languages()["tsx"].suffixes
        case "cpp":
            return (*suffixes, ".h")
    return suffixes
