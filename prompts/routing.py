"""`attune.toml`: which prompt serves which files of a repository."""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prompts import globs
from prompts.errors import ConfigurationError
from prompts.file import SUFFIX
from prompts.manifest import is_label

FOLDER = ".attune"
FILE_NAME = "attune.toml"
MAX_BYTES = 256 << 10
MAX_ROUTES = 256
MAX_GLOBS = 256
MAX_GLOB = 256

DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
"""How a route names a prompt of the user's store."""


@dataclass(frozen=True)
class Route:
    """Files that match `globs` are served by `prompt`.

    `prompt` is the name of a file beside `attune.toml`, without its ending, or `sha256:` and the
    digest of a prompt in the user's store.
    """

    globs: tuple[str, ...]
    prompt: str

    def takes(self, path: str) -> bool:
        """Whether the route is for `path`, which starts at the repository's root."""
        return globs.matches(path, self.globs)


@dataclass(frozen=True)
class Configuration:
    """What an `attune.toml` says; without a file, nothing."""

    routes: tuple[Route, ...] = ()
    registry: str | None = None
    """URL of the registry that `attune prompt pull` and `push` use."""


def read_configuration(path: Path) -> Configuration:
    """The configuration at `path`, empty if there is no file.

    Raises `ConfigurationError`, naming the first thing that is wrong.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return Configuration()
    except OSError as error:
        raise _error(path, f"cannot be read ({error.strerror or error})") from error
    if len(data) > MAX_BYTES:
        raise _error(path, f"is larger than {MAX_BYTES} bytes")
    try:
        return _configuration(tomllib.loads(data.decode("utf-8")))
    except _BrokenRuleError as breach:
        raise _error(path, str(breach)) from None
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else error
        raise _error(path, f"is not TOML ({reason})") from None


def prompt_file(reference: str, folder: Path, store: Path) -> Path:
    """The file that a route's `prompt` stands for: in `folder`, or in the user's `store`."""
    digest = DIGEST.fullmatch(reference)
    if digest is None:
        return folder / f"{reference}{SUFFIX}"
    return stored_file(digest[1], store)


def stored_file(sha256: str, store: Path) -> Path:
    """Where a store keeps the prompt file with this digest."""
    return store / sha256[:2] / f"{sha256[2:]}{SUFFIX}"


class _BrokenRuleError(Exception):
    """A rule that the file breaks, in words that follow the file's name."""


def _error(path: Path, what: str) -> ConfigurationError:
    return ConfigurationError(f"{path} {what}; correct it or remove it.")


def _configuration(read: dict[str, Any]) -> Configuration:
    if unknown := sorted(read.keys() - {"route", "registry"}):
        raise _BrokenRuleError(f"has no use for {unknown[0]!r}, only for [[route]] and registry")
    registry = read.get("registry")
    if registry is not None and (not isinstance(registry, str) or not registry.isprintable()):
        raise _BrokenRuleError("must give registry as text")
    routes = read.get("route", [])
    if not isinstance(routes, list) or len(routes) > MAX_ROUTES:
        raise _BrokenRuleError(f"must give routes as at most {MAX_ROUTES} tables [[route]]")
    return Configuration(tuple(map(_route, routes)), registry)


def _route(table: Any) -> Route:
    if not isinstance(table, dict) or table.keys() != {"globs", "prompt"}:
        raise _BrokenRuleError("must give each [[route]] exactly globs and prompt")
    patterns, prompt = table["globs"], table["prompt"]
    if (
        not isinstance(patterns, list)
        or not 0 < len(patterns) <= MAX_GLOBS
        or not all(isinstance(glob, str) and 0 < len(glob) <= MAX_GLOB for glob in patterns)
    ):
        raise _BrokenRuleError(
            f"must give globs as a list of 1 to {MAX_GLOBS} texts of at most {MAX_GLOB} characters"
        )
    if not isinstance(prompt, str) or not (DIGEST.fullmatch(prompt) or is_label(prompt)):
        raise _BrokenRuleError(
            "must give prompt as a file name without its ending or as sha256:DIGEST"
        )
    return Route(tuple(patterns), prompt)
