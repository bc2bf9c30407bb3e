"""A folder that appears whole, or not at all."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from code_model.language_model import ModelLoadError
from code_model.leftovers import remove_leftovers


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder that appears as `folder` when the block ends, and not at all if it fails.

    Raises `ModelLoadError` if there is one already, `OSError` if it cannot be made.
    """
    if folder.exists():
        raise ModelLoadError(f"{folder} exists already; choose another folder, or remove it.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder.parent, f"{folder.name}.partial-*")
    partial = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f"{folder.name}.partial-"))
    try:
        yield partial
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
