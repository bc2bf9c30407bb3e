"""A small repository on disk, and a run that takes seconds."""

import subprocess
from pathlib import Path

import pytest

from tuning.config import TuningConfig
from tuning.progress import Progress

CONFIG = TuningConfig(
    num_virtual_tokens=16,
    steps=6,
    learning_rate=0.1,
    examples_per_step=4,
    max_tokens=128,
    held_out_tokens=160,
    n_evaluations=2,
    validation_holes=4,
    test_holes=8,
    proof_places=8,
)

FILE = """\
import os
from pathlib import Path

from package.core import Store{n}


def load_{n}(path: Path) -> Store{n}:
    store = Store{n}(path, size={n})
    for name in os.listdir(path):
        store.add(name, value={n} * len(name))
    return store


class Reader{n}:
    def __init__(self, store: Store{n}) -> None:
        self.store_{n} = store

    def read(self, name: str) -> int:
        if name not in self.store_{n}:
            raise KeyError(f"no {{name}} in reader {n}")
        return self.store_{n}[name]
"""


def ignore(progress: Progress | float) -> None:
    """Shows nothing."""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Twelve files that differ in more than a number, and some that are left out."""
    root = tmp_path / "repository"
    (root / "package").mkdir(parents=True)
    for n in range(12):
        extra = "\n".join(f"def only_{n}_{m}(a_{m}):\n    return a_{m} + {n}\n" for m in range(n))
        text = FILE.format(n=n) + f"\n\n{extra}"
        (root / "package" / f"file_{n}.py").write_text("\n".join(
            line.replace("name", f"name_{n}") for line in text.splitlines()
        ) + "\n")  # fmt: skip
    (root / "latin.py").write_bytes("# caf\xe9\n".encode("latin-1"))
    (root / "empty.py").write_text("")
    (root / "minified.py").write_text("x = [" + "1, " * 1000 + "]\n")
    (root / "ignored").mkdir()
    (root / "ignored" / "secret.py").write_text("x = 1\n")
    (root / ".gitignore").write_text("ignored/\n")
    (root / "notes.txt").write_text("not code\n")
    return root


@pytest.fixture
def git_repository(repository: Path) -> Path:
    """The same under git, with one commit."""
    for command in (
        ["init", "-q", "-b", "main"],
        ["add", "-A"],
        ["-c", "user.name=T", "-c", "user.email=t@example.org", "commit", "-q", "-m", "First"],
    ):
        subprocess.run(["git", *command], cwd=repository, check=True)
    return repository
