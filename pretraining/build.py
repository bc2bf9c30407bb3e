"""Build the corpus: fetch the listed packages, and keep what their people wrote themselves.

Languages are built one after another, each in a folder that gets its name when it is complete: a
killed build goes on with the language that it was at.
"""

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from code_context.languages import languages
from pretraining import filters, licences, package_lists, releases, sources
from pretraining.corpus import Document, PartWriter, folder_of
from pretraining.deduplication import Deduplication, shingles_of
from pretraining.package_lists import Lists, Package

Progress = Callable[[str, int, int], None]
"""Told what is done, how many packages are done, and how many there are."""


@dataclass
class Tally:
    """What the manifest says of a package: documents by licence, and files left out by rule."""

    version: str
    source: str
    side: str
    documents: int = 0
    bytes: int = 0
    licences: Counter[str] = field(default_factory=Counter)
    refused_licences: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)


def fetch(folder: Path, lists: Lists, progress: Progress) -> None:
    """Fetch every package that is not there. Raises `CorpusError` for one that cannot be."""
    wanted = [package for packages in lists.values() for package in packages]
    for done, package in enumerate(wanted):
        progress(f"fetching {package.name}", done, len(wanted))
        sources.fetch(package, folder)


def build(folder: Path, lists: Lists, progress: Progress) -> dict[str, Any]:
    """Write the parts of every language and `manifest.json` into `folder`; gives the manifest.

    A language that is complete, from the same packages, stays. Raises `CorpusError` if an archive
    is missing or damaged.
    """
    held_out: frozenset[int] | None = None
    for language, packages in lists.items():
        complete = folder_of(folder, language)
        recipe = package_lists.digest(lists, language)
        if _is_complete(complete, recipe):
            continue
        if held_out is None:
            held_out = _held_out_shingles(folder, lists, progress)
        partial = complete.with_name(language + ".part")
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(complete, ignore_errors=True)
        partial.mkdir(parents=True)
        manifest = _build_language(folder, packages, partial, held_out, progress)
        _write_json(partial / "manifest.json", {"recipe": recipe, **manifest})
        partial.rename(complete)
    manifests = {
        language: json.loads((folder_of(folder, language) / "manifest.json").read_text("utf-8"))
        for language in lists
    }
    _write_json(folder / "manifest.json", manifests)
    return manifests


def _is_complete(folder: Path, recipe: str) -> bool:
    manifest = folder / "manifest.json"
    return manifest.is_file() and json.loads(manifest.read_text("utf-8"))["recipe"] == recipe


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def _held_out_shingles(folder: Path, lists: Lists, progress: Progress) -> frozenset[int]:
    held_out = [each for packages in lists.values() for each in packages if each.held_out]
    found: set[int] = set()
    for done, package in enumerate(held_out):
        progress("reading held-out packages", done, len(held_out))
        release = releases.read_release(package, folder)
        kept = _kept(package, release, None, _tally(package))
        found |= shingles_of(document.text for document in kept)
    return frozenset(found)


def _build_language(
    folder: Path,
    packages: Sequence[Package],
    out: Path,
    held_out: frozenset[int],
    progress: Progress,
) -> dict[str, Any]:
    """Write one language's parts into `out`; gives its manifest."""
    deduplication = Deduplication(held_out)
    tallies = {}
    with PartWriter(out, "train") as train, PartWriter(out, "held_out") as unseen:
        for done, package in enumerate(packages):
            progress(f"building {languages()[package.language].name}", done, len(packages))
            release = releases.read_release(package, folder)
            tally = tallies[package.name] = _tally(package)
            new = None if package.held_out else deduplication
            for document in _kept(package, release, new, tally):
                (unseen if package.held_out else train).write(document)
    return _manifest(tallies)


def _manifest(tallies: dict[str, Tally]) -> dict[str, Any]:
    def total(side: str, name: str) -> int:
        return sum(getattr(tally, name) for tally in tallies.values() if tally.side == side)

    left_out = sum((tally.left_out for tally in tallies.values()), Counter[str]())
    return {
        "documents": {side: total(side, "documents") for side in ("train", "held_out")},
        "bytes": {side: total(side, "bytes") for side in ("train", "held_out")},
        "left_out": dict(left_out.most_common()),
        "packages": {name: vars(tally) for name, tally in tallies.items()},
    }


def _tally(package: Package) -> Tally:
    side = "held_out" if package.held_out else "train"
    return Tally(package.version, package.source, side)


def _kept(
    package: Package, release: releases.Release, deduplication: Deduplication | None, tally: Tally
) -> Iterator[Document]:
    """The documents of a package that no rule leaves out; counts all in `tally`."""
    for path, content in release.files:
        licence = release.licence_of(path)
        if not _is_permissive(licence):
            tally.refused_licences[licence] += 1
            tally.left_out["licence"] += 1
            continue
        try:
            text = content.decode("utf-8").removeprefix("\ufeff").replace("\r\n", "\n")
        except UnicodeDecodeError:
            tally.left_out["encoding"] += 1
            continue
        rule = filters.rejection(path, text, package.language)
        if rule is None and deduplication is not None:
            rule = deduplication.rejection(text)
        if rule is not None:
            tally.left_out[rule] += 1
            continue
        tally.documents += 1
        tally.bytes += len(text.encode())
        tally.licences[licence] += 1
        language = "tsx" if path.endswith(".tsx") else package.language
        # packages of different languages may have the same name
        yield Document(f"{package.language}/{package.name}", path, text, language)


_is_permissive = cache(licences.is_permissive)
