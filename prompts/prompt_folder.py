"""The prompt files in a repository's `.attune` folder: find, add and remove them."""

import contextlib
from pathlib import Path

from file_access.regular_file import read_regular_file
from prompts.configuration import FOLDER, remove_routes
from prompts.errors import PromptError, StoreError
from prompts.file import MAX_FILE_BYTES, SUFFIX, PromptFile, install_prompt
from prompts.signature import read_signature, signature_path, write_signature
from prompts.store import Store


def find_prompt(reference: str, root: Path) -> Path:
    """The prompt file that `reference` names.

    It is a path; or the name of a prompt in the repository's `.attune`; or the digest of one in
    the user's store, or its beginning. Raises `StoreError` if there is none.
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


def put_prompt(
    root: Path, name: str, data: bytes, signature: bytes | None, source: str
) -> PromptFile:
    """Write the bytes of a prompt file into `.attune` under `name`; errors name `source`.

    A prompt that it replaces is kept in the user's store. Raises as `install_prompt` does.
    """
    path = root / FOLDER / f"{name}{SUFFIX}"
    # What cannot be read or is not a prompt is of no value.
    with contextlib.suppress(PromptError, OSError):
        previous = read_regular_file(path, MAX_FILE_BYTES)
        if previous != data:
            Store().add(previous, read_signature(path), str(path))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{path.parent} cannot be made ({error.strerror}).") from error
    # In this order a signature is never beside a file that it does not belong to.
    write_signature(path, None)
    prompt = install_prompt(data, path, source)
    if signature is not None:
        write_signature(path, signature)
    return prompt


def remove_prompt(root: Path, name: str) -> None:
    """Delete a prompt of `.attune`, its signature and its routes.

    Raises `StoreError` or `ConfigurationError`.
    """
    path = root / FOLDER / f"{name}{SUFFIX}"
    try:
        path.unlink()
        signature_path(path).unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"{path} could not be removed ({error.strerror}).") from error
    remove_routes(root / FOLDER, name)
