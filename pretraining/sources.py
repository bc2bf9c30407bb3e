"""Where packages come from: each is fetched by its exact version with the client of its source.

pip fetches Python packages, npm those for JavaScript and TypeScript, and apt-get those of Debian:
source packages for C and C++, and for Go and Rust the development packages, which hold source as
well. Where each client looks is the machine's configuration, not this project's.
"""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from pretraining.corpus import CorpusError
from pretraining.package_lists import Package, SourceName

APT_SOURCES = (Path("/etc/apt/sources.list"), Path("/etc/apt/sources.list.d"))


def folder_of(package: Package, folder: Path) -> Path:
    """Where the archives of a package lie below the corpus's `folder`."""
    name = quote(f"{package.name}={package.version}", safe="@=+:~")
    return folder / "archives" / package.source / name


def fetch(package: Package, folder: Path) -> None:
    """Fetch the archives of a package, unless they are there. A killed call leaves none of them.

    Raises `CorpusError` if the client of the package's source cannot fetch it.
    """
    complete = folder_of(package, folder)
    if package.source == "installed" or complete.is_dir():
        return
    partial = complete.with_name(complete.name + ".part")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    command = _COMMANDS[package.source](package, folder)
    failure = _run(command, partial)
    if failure is None and not any(partial.iterdir()):
        failure = f"{command[0]} fetched nothing"
    if failure is not None:
        shutil.rmtree(partial, ignore_errors=True)
        raise CorpusError(
            f"{package.name} {package.version} could not be fetched ({failure}); run the command "
            f"again to go on from here, or change the version in packages/{package.language}.toml."
        )
    partial.rename(complete)


def _run(command: list[str], folder: Path) -> str | None:
    """Run a command in `folder`; the last line of its messages if it fails."""
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    except FileNotFoundError:
        return f"{command[0]} is not installed"
    if done.returncode == 0:
        return None
    return (done.stderr.strip().splitlines() or ["no message"])[-1]


def _pip(package: Package, folder: Path) -> list[str]:
    named = f"{package.name}=={package.version}"
    return [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", ".", named]


def _npm(package: Package, folder: Path) -> list[str]:
    return ["npm", "pack", "--ignore-scripts", f"{package.name}@{package.version}"]


def _deb(package: Package, folder: Path) -> list[str]:
    return ["apt-get", "-q", *_apt_options(folder), "download", f"{package.name}={package.version}"]


def _deb_src(package: Package, folder: Path) -> list[str]:
    named = f"{package.name}={package.version}"
    return ["apt-get", "-q", *_apt_options(folder), "source", "--download-only", named]


_COMMANDS: dict[SourceName, Callable[[Package, Path], list[str]]] = {
    "pip": _pip, "npm": _npm, "deb": _deb, "deb-src": _deb_src
}  # fmt: skip


def _apt_options(folder: Path) -> list[str]:
    """Options that give apt-get lists of its own: the machine's, with source packages.

    Raises `CorpusError` if the lists cannot be fetched.
    """
    own = (folder / "apt").resolve()
    options = [
        f"-oDir::Etc::sourcelist={own / 'sources.list'}",
        f"-oDir::Etc::sourceparts={own / 'sources.list.d'}",
        f"-oDir::State::lists={own / 'lists'}",
        f"-oDir::Cache={own / 'cache'}",
        # container images switch this cache off, and each call then reads all lists again
        "-oDir::Cache::pkgcache=pkgcache.bin",
        "-oDir::Cache::srcpkgcache=srcpkgcache.bin",
        "-oAPT::Sandbox::User=root",
    ]
    if (own / "updated").is_file():
        return options
    for name in ("sources.list.d", "lists/partial", "cache/archives/partial"):
        (own / name).mkdir(parents=True, exist_ok=True)
    listed = [APT_SOURCES[0], *sorted(APT_SOURCES[1].glob("*"))]
    for path in listed:
        if path.is_file() and path.suffix in (".list", ".sources"):
            parent = own if path == APT_SOURCES[0] else own / "sources.list.d"
            text = _with_source_packages(path.read_text(encoding="utf-8"))
            (parent / path.name).write_text(text, encoding="utf-8")
    failure = _run(["apt-get", "-q", *options, "update"], own)
    if failure is not None:
        raise CorpusError(f"apt-get could not fetch its lists of packages ({failure}).")
    (own / "updated").touch()
    return options


def _with_source_packages(text: str) -> str:
    """A sources file of apt that names source packages beside built ones."""
    lines = []
    for line in text.splitlines():
        if line.startswith("Types:"):
            line = "Types: deb deb-src"
        elif line.startswith("deb "):
            lines.append("deb-src " + line.removeprefix("deb ") + "\n")
        lines.append(line + "\n")
    return "".join(lines)
