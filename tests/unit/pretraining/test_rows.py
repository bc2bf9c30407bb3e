"""Rows are full and repeatable, in every language, and show what a hole's names mean."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from code_model.tokenizer import Tokenizer
from pretraining import rows as module
from pretraining import tokenizer
from pretraining.corpus import Document
from pretraining.rows import IGNORED, Batches, Rows
from tests.unit.pretraining.test_corpus import body

LENGTH = 128
DEFINES = "".join(
    f"def open_valve_{n}(pressure):\n    return pressure * {n}\n\n\n" for n in range(9)
)
USES = "".join(
    f"def main_{n}(x):\n    y = open_valve_{n}(x + {n})\n    return y\n\n\n" for n in range(9)
)
FUNCTION = {
    "javascript": "export function tick{n}(a) {{\n  const b = a + {n};\n  return b;\n}}\n\n",
    "typescript": "export function tick{n}(a: number): number {{\n  return a + {n};\n}}\n\n",
    "c": "int tick{n}(int a)\n{{\n    int b = a + {n};\n    return b;\n}}\n\n",
    "cpp": "int tick{n}(std::vector<int>& a) {{\n  a.push_back({n});\n  return 0;\n}}\n\n",
    "go": "func Tick{n}(a int) int {{\n\tb := a + {n}\n\treturn b\n}}\n\n",
    "rust": "pub fn tick{n}(a: i32) -> i32 {{\n    let b = a + {n};\n    b\n}}\n\n",
}
SUFFIXES = {"javascript": "js", "typescript": "ts", "c": "c", "cpp": "cc", "go": "go", "rust": "rs"}
DOCUMENTS = [
    *(
        Document(package, f"{package}/{name}.py", body(f"{package}_{name}"))
        for package in ("one", "two")
        for name in ("a", "b", "c")
    ),
    Document("valves", "valves/defines.py", DEFINES),
    Document("valves", "valves/uses.py", USES),
    *(
        Document(
            language,
            f"src/{part}.{SUFFIXES[language]}",
            "".join(text.format(n=f"_{part}{n}") for n in range(12)),
            language,
        )
        for language, text in FUNCTION.items()
        for part in "ab"
    ),
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    tokenizer.train(DOCUMENTS, 400, 50_000, 0).save(str(file))
    return file


@pytest.fixture
def shares() -> dict[str, Any]:
    recipe = (Path(module.__file__).parent / "config.toml").read_text(encoding="utf-8")
    shares: dict[str, Any] = tomllib.loads(recipe)["data"]
    return shares


@pytest.fixture
def rows(trained: Path, shares: dict[str, Any], tmp_path: Path) -> Rows:
    return Rows(DOCUMENTS, Tokenizer(trained), tmp_path, shares, seed=1)


def texts(rows: Rows, count: int, length: int = LENGTH) -> Iterator[str]:
    for index in range(count):
        ids, _ = rows.row(index, length)
        yield rows.encoder.tokenizer.decode(ids)


def test_rows_are_full_and_repeatable(
    rows: Rows, trained: Path, shares: dict[str, Any], tmp_path: Path
) -> None:
    again = Rows(DOCUMENTS, Tokenizer(trained), tmp_path, shares, seed=1)
    for index in range(60):
        ids, labels = rows.row(index, LENGTH)
        assert len(ids) == len(labels) == LENGTH + 1
        assert ids[0] == rows.encoder.beginning_ids[0]
        learnt = [(token, label) for token, label in zip(ids, labels, strict=True)
                  if label != IGNORED]  # fmt: skip
        assert len(learnt) > LENGTH // 8
        assert all(token == label for token, label in learnt)
        assert again.row(index, LENGTH) == (ids, labels)
    assert rows.row(0, LENGTH) != rows.row(1, LENGTH)


def test_both_orders_and_other_files_occur(rows: Rows) -> None:
    encoder = rows.encoder
    orders, files = set(), set()
    for index in range(60):
        ids, _ = rows.row(index, 4 * LENGTH)
        if encoder.middle_ids[0] in ids:
            before = ids[: ids.index(encoder.middle_ids[0])]
            orders.add(before.index(encoder.suffix_ids[0]) < before.index(encoder.prefix_ids[0]))
            files.add(before.count(encoder.separator_ids[0]))
    assert orders == {True, False}
    assert max(files) > 1


@pytest.mark.parametrize("language", FUNCTION)
def test_every_language_has_rows_with_holes(
    rows: Rows, shares: dict[str, Any], language: str
) -> None:
    rows.shares = shares | {"languages": {language: 1.0, "absent": 5.0}, "causal": 0.0}
    middles = [text for text in texts(rows, 12) if "<|fim_middle|>" in text]
    assert middles
    assert all(f".{SUFFIXES[language]}\n" in text for text in middles)


def test_the_shares_of_the_languages_are_kept(rows: Rows, shares: dict[str, Any]) -> None:
    rows.shares = shares | {"languages": {"go": 1.0, "python": 3.0}}
    found = ["src/a.go" in text or "src/b.go" in text for text in texts(rows, 80)]
    assert 10 <= sum(found) <= 32


def test_a_hole_that_names_another_files_symbol_has_its_definition_in_front(
    rows: Rows, shares: dict[str, Any]
) -> None:
    only_fim = {"causal": 0.0, "copy_random": 0.0, "copy_code": 0.0, "languages": {"python": 1.0}}
    rows.shares = shares | only_fim | {"named": 1.0}
    naming = 0
    for text in texts(rows, 60, 4 * LENGTH):
        before, _, middle = text.partition("<|fim_middle|>")
        name = next((each for each in middle.split("<|endoftext|>")[0].split("(")
                     if "open_valve_" in each), None)  # fmt: skip
        opened = before.rpartition("<|file_sep|>")[2]
        if name is not None and opened.startswith("valves/uses.py"):
            naming += 1
            assert f"def {name.split()[-1]}" in before
    assert naming > 3


def test_labels_are_the_next_ids(rows: Rows) -> None:
    ids, labels = Batches(rows, first=6, count=3, length=LENGTH)[1]
    assert ids.shape == labels.shape == (3, LENGTH)
    learnt = labels[:, :-1] != IGNORED
    assert learnt.any()
    assert torch.equal(labels[:, :-1][learnt], ids[:, 1:][learnt])
    assert ids[0].tolist() == rows.row(9, LENGTH)[0][:-1]
