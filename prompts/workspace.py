"""A repository's own prompts and routes, changed by commands."""

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from prompts.atomic_write import replace_file
from prompts.errors import ConfigurationError, PromptError, StoreError
from prompts.file import SUFFIX, PromptFile, install_prompt
from prompts.routing import DIGEST, FILE_NAME, FOLDER, read_configuration
from prompts.signature import read_signature, signature_path, write_signature
from prompts.store import Store
from prompts.user import user_folder

EVERYTHING = ("**",)
_KNOWN_ROOTS = "workspaces.json"


def resolve(reference: str, root: Path) -> Path:
    """The prompt file that people mean by `reference`.

    A path; or the name of a prompt in the repository's `.attune/`; or the digest of one in the
    user's store, or its beginning. Raises `StoreError` if there is none.
    """
    if Path(reference).is_file():
        return Path(reference)
    own = root / FOLDER / f"{reference}{SUFFIX}"
    if Path(reference).name == reference and own.is_file():
        return own
    store = Store()
    try:
        return store.path(store.find(reference.removeprefix("sha256:")))
    except StoreError:
        raise StoreError(
            f"There is no prompt {reference!r}: no such file, no such name in {root / FOLDER}, no"
            " such digest in your store; `attune prompt list` shows what there is."
        ) from None


def own_prompts(root: Path) -> list[Path]:
    """The prompt files of a repository, by name."""
    return sorted((root / FOLDER).glob(f"*{SUFFIX}"))


def name_of(path: Path) -> str:
    """The name of a repository's prompt file, as routes spell it."""
    return path.name.removesuffix(SUFFIX)


def put(root: Path, name: str, data: bytes, signature: bytes | None, source: str) -> PromptFile:
    """Put the bytes of a prompt file into `.attune/` under `name`.

    What stood there before is kept in the user's store. Raises as `install_prompt` does.
    """
    path = root / FOLDER / f"{name}{SUFFIX}"
    if path.is_file() and path.read_bytes() != data:
        with contextlib.suppress(PromptError):  # not a prompt, so nothing of worth goes
            Store().add(path.read_bytes(), read_signature(path), str(path))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{path.parent} cannot be made ({error.strerror}).") from error
    # In this order no signature ever stands beside a file that it is not of.
    write_signature(path, None)
    prompt = install_prompt(data, path, source)
    if signature is not None:
        write_signature(path, signature)
    return prompt


def remove(root: Path, name: str) -> None:
    """Delete a prompt of `.attune/`, its signature and its routes. Raises `PromptError`."""
    path = root / FOLDER / f"{name}{SUFFIX}"
    try:
        path.unlink()
        signature_path(path).unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"{path} could not be removed ({error.strerror}).") from error
    drop_routes(root / FOLDER, name)


def add_route(folder: Path, patterns: Sequence[str], prompt: str) -> None:
    """Let `prompt` serve what matches `patterns`, in the `attune.toml` of `folder`.

    A route with the same patterns gets the new prompt. A new one comes first, but for the route
    of everything, which comes last. Comments stay. Raises `PromptError`.
    """
    document = _document(folder / FILE_NAME)
    routes = document.setdefault("route", tomlkit.aot())
    same = [route for route in routes if list(route["globs"]) == list(patterns)]
    if same:
        same[0]["prompt"] = prompt
    else:
        table = tomlkit.table()
        table["globs"] = list(patterns)
        table["prompt"] = prompt
        routes.insert(len(routes) if tuple(patterns) == EVERYTHING else 0, table)
    _write(folder / FILE_NAME, document)


def drop_routes(folder: Path, prompt: str) -> None:
    """Remove every route to `prompt` from the `attune.toml` of `folder`. Raises `PromptError`."""
    path = folder / FILE_NAME
    if not any(route.prompt == prompt for route in read_configuration(path).routes):
        return
    document = _document(path)
    routes = document["route"]
    for index in reversed(range(len(routes))):
        if routes[index]["prompt"] == prompt:
            del routes[index]
    if not routes:
        del document["route"]
    _write(path, document)


def remember(root: Path) -> None:
    """Note that this repository's routes may lead into the user's store. Raises `StoreError`."""
    roots = {*known_roots(), str(root.resolve())}
    path = user_folder() / _KNOWN_ROOTS
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, json.dumps(sorted(roots), indent=2).encode())
    except OSError as error:
        raise StoreError(f"{path} could not be written ({error.strerror}).") from error


def known_roots() -> list[str]:
    """The repositories whose routes lead into the user's store."""
    path = user_folder() / _KNOWN_ROOTS
    try:
        read = json.loads(path.read_bytes())
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read; correct it or remove it.") from error
    return [root for root in read if isinstance(root, str)] if isinstance(read, list) else []


def used_digests() -> set[str]:
    """Digests that some route leads to: of every known repository, and of the user's own routes.

    Raises `ConfigurationError` for routes that cannot be read, since they might lead to any.
    """
    used = set()
    for folder in (*(Path(root) / FOLDER for root in known_roots()), user_folder()):
        for route in read_configuration(folder / FILE_NAME).routes:
            if digest := DIGEST.fullmatch(route.prompt):
                used.add(digest[1])
    return used


def _document(path: Path) -> Any:
    read_configuration(path)  # what is wrong is told before anything is changed
    try:
        return tomlkit.parse(path.read_text("utf-8")) if path.exists() else tomlkit.document()
    except (OSError, ValueError, TOMLKitError) as error:
        raise ConfigurationError(f"{path} cannot be changed ({error}).") from error


def _write(path: Path, document: Any) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, tomlkit.dumps(document).encode())
    except OSError as error:
        raise ConfigurationError(f"{path} could not be written ({error.strerror}).") from error
