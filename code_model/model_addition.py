"""Add a model to the user's models, and compare it later with what was recorded then."""

import contextlib
import re
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from code_model.language_model import ModelLoadError
from code_model.leftovers import remove_leftovers
from code_model.loading import check_choice
from code_model.model_check import facts_of
from code_model.model_choice import Engine
from code_model.model_folder import ModelFolder, read_model_folder, sha256_of
from code_model.user_models import (
    NAME,
    NAME_RULE,
    SHIPPED,
    FileEntry,
    UserModel,
    downloads_folder,
    read_user_models,
    record_model,
)


class ModelNameError(ModelLoadError):
    """A model cannot have this name."""


@dataclass(frozen=True)
class Computing:
    """How to compute a model, as in `ModelChoice`; None stands for the best available."""

    engine: Engine | None = None
    device: str | None = None
    precision: str | None = None
    quantisation: str | None = None
    layout: str | None = None


def free_name(wanted: str | None, path: Path, source: str) -> str:
    """The name for a new model: the one that is wanted, else made of the file's or folder's name.

    Raises `ModelNameError` if it cannot be a name, or if it belongs to another model.
    """
    name = wanted or re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem if path.is_file() else path.name)
    name = name if wanted else name.lstrip("._-")[:64]
    if NAME.fullmatch(name) is None:
        raise ModelNameError(f"{name!r} cannot be a model's name; give --name, {NAME_RULE}.")
    present = read_user_models().model.get(name)
    if name == SHIPPED or (present is not None and present.source != source):
        raise ModelNameError(
            f"There is another model {name!r}; choose another --name, or remove that one with "
            f"`attune model remove {name}`."
        )
    return name


def model_folder_of(path: Path, name: str, layout: str | None = None) -> Path:
    """The folder to add: `path`, or for a GGUF file one that is made in the user's data folder.

    One that was made before is replaced when the new one is whole. `layout` names the FIM template
    of a GGUF file whose tokens do not tell it.

    Raises `ModelLoadError` if a GGUF file cannot be served, or its packages are not installed.
    """
    if path.suffix != ".gguf":
        return path
    from code_model.gguf_folder import make_model_folder

    folder = downloads_folder() / "gguf" / name
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(folder.parent, "attune-*")
        with tempfile.TemporaryDirectory(prefix="attune-", dir=folder.parent) as temporary:
            made = Path(temporary) / name
            make_model_folder(path, made, name, layout)
            shutil.rmtree(folder, ignore_errors=True)  # the name is free, or it is the same file
            made.rename(folder)
    except OSError as error:
        raise ModelLoadError(
            f"{folder} could not be written ({error.strerror or error}); free disk space, or check "
            "its permissions."
        ) from error
    return folder


def delete_own_files(model: UserModel) -> bool:
    """Delete the files of a removed model that Attune downloaded or made; whether there were any.

    What another model uses stays.
    """
    own = downloads_folder()
    used = [
        path
        for other in read_user_models().model.values()
        for path in (Path(other.path), *(file.path for file in other.choice.files))
    ]

    def is_free(path: Path) -> bool:
        return own in path.parents and not any(each.is_relative_to(path) for each in used)

    folder = Path(model.path)
    if not is_free(folder):
        return False
    shutil.rmtree(folder, ignore_errors=True)
    for source in (Path(entry.path) for entry in model.file):  # a downloaded GGUF file
        if is_free(source):
            source.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # it holds other files
                source.parent.rmdir()
    return True


def add_model(
    name: str,
    path: Path,
    source: str,
    revision: str | None = None,
    computing: Computing = Computing(),
) -> UserModel:
    """Record a model folder under a name, with the hashes of its files.

    Raises `ModelLoadError` if a file is missing, if the model's family is unknown, if no prompt can
    serve with its attention, or if nothing here computes it as asked; then nothing is recorded.
    """
    folder = read_model_folder(path, layout=computing.layout)
    facts = facts_of(folder)
    if facts.refusals:
        raise ModelLoadError(facts.refusals[0])
    model = UserModel(
        path=str(path),
        source=source,
        revision=revision,
        engine=computing.engine,
        device=computing.device,
        precision=computing.precision,
        quantisation=computing.quantisation,
        layout=computing.layout,
    )
    check_choice(model.choice)
    model = replace(model, file=recorded(folder))
    record_model(name, model)
    return model


def recorded(folder: ModelFolder) -> tuple[FileEntry, ...]:
    """The files of a model as they are now. Raises `ModelLoadError` if one cannot be read."""
    entries = []
    for file in folder.files:
        try:
            status = file.stat()
            sha256 = sha256_of(file)
        except OSError as error:
            raise ModelLoadError(
                f"{file} is missing or cannot be read ({error.strerror or error}); get the model's "
                "files again."
            ) from error
        path = file.relative_to(folder.path) if file.is_relative_to(folder.path) else file
        entries.append(FileEntry(str(path), status.st_size, status.st_mtime_ns, sha256))
    return tuple(entries)


def verify_files(name: str, model: UserModel) -> tuple[str, ...]:
    """Compare the hashes of a model's files with the recorded ones; sentences about differences.

    If only the times of files differ, the new times are recorded, so that the model loads again.
    """
    folder = Path(model.path)
    problems, entries = [], []
    for entry in model.file:
        file = folder / entry.path
        try:
            status, sha256 = file.stat(), sha256_of(file)
        except OSError as error:
            problems.append(f"{file} cannot be read ({error.strerror or error}); add it again.")
            continue
        if sha256 != entry.sha256:
            problems.append(
                f"{file} is not the file that was added (its SHA-256 is {sha256[:16]}…, not "
                f"{entry.sha256[:16]}…); get it again, or add the model again if you changed it."
            )
        entries.append(replace(entry, size=status.st_size, mtime_ns=status.st_mtime_ns))
    if not problems and tuple(entries) != model.file:
        record_model(name, replace(model, file=tuple(entries)))
    return tuple(problems)
