"""The tiny model in place of the default one, and a small repository."""

from pathlib import Path

import pytest

from code_model.loading import MODEL_VARIABLE

MODULE = """\
import os
from pathlib import Path

from package.module_{other} import load_{other}


def load_{n}(path: Path) -> dict[str, int]:
    sizes_{n} = dict[str, int]()
    for name in os.listdir(path):
        sizes_{n}[name] = {n} * len(name)
    return sizes_{n}


class Reader{n}:
    def __init__(self, path: Path) -> None:
        self.sizes_{n} = load_{n}(path)
        self.others_{n} = load_{other}(path)

    def read(self, name: str) -> int:
        if name not in self.sizes_{n}:
            raise KeyError(f"no {{name}} in reader {n}")
        return self.sizes_{n}[name] + self.others_{n}[name]
"""
FILES = 12


@pytest.fixture(autouse=True)
def _tiny_model(monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> None:
    monkeypatch.setenv(MODEL_VARIABLE, str(tiny_model))


@pytest.fixture
def module_texts() -> list[str]:
    """Modules that use each other and are no near-duplicates."""
    texts = []
    for n in range(FILES):
        functions = "\n\n\n".join(
            f"def only_{n}_{m}(value_{n}_{m}: int) -> int:\n    return value_{n}_{m} * {m + n}"
            for m in range(n)
        )
        text = MODULE.format(n=n, other=(n + 1) % FILES).replace("name", f"name_{n}")
        texts.append(f"{text}\n\n{functions}\n" if functions else text)
    return texts


@pytest.fixture
def repository(tmp_path: Path, module_texts: list[str]) -> Path:
    """The modules on disk."""
    root = tmp_path / "repository"
    (root / "package").mkdir(parents=True)
    for n, text in enumerate(module_texts):
        (root / "package" / f"module_{n}.py").write_text(text, encoding="utf-8")
    return root
