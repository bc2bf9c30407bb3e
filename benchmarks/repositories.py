"""Repositories that the default model was not trained on, to tune on."""

import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import platformdirs

from pretraining.package_lists import held_out
from tuning import controls, generic

# outside of every repository, because what git ignores there is not read
CACHE = platformdirs.user_cache_path("attune", appauthor=False) / "benchmarks"


def repositories(cache: Path, names: Sequence[str]) -> dict[str, Path]:
    """Folders of the named packages, and of the sample of generic code, by name.

    The packages are those that pretraining held out whole.
    """
    versions = held_out()
    folders = fetched(cache, {name: versions[name] for name in names})
    folder = cache / "repositories" / controls.GENERIC_NAME
    folder.mkdir(parents=True, exist_ok=True)
    for file in generic.sample():
        (folder / file.path).write_text(file.text, encoding="utf-8")
    return folders | {controls.GENERIC_NAME: folder}


def fetched(cache: Path, versions: Mapping[str, str]) -> dict[str, Path]:
    """Folders of packages by name, given their versions.

    Their source distributions, which hold the tests too, are fetched with pip unless `cache` has
    them.
    """
    return {name: _package(cache, name, version) for name, version in versions.items()}


def _package(cache: Path, name: str, version: str) -> Path:
    folder = cache / "repositories" / name
    if folder.is_dir():
        return folder
    archives = cache / "archives" / name
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps"]
    source = ["--no-binary", name, "-d", str(archives), f"{name}=={version}"]
    subprocess.run([*command, *source], check=True)
    partial = folder.with_name(folder.name + ".part")
    shutil.rmtree(partial, ignore_errors=True)
    with tarfile.open(next(archives.glob("*.tar.gz"))) as archive:
        archive.extractall(partial, filter="data")
    (release,) = partial.iterdir()
    release.rename(folder)
    partial.rmdir()
    return folder
