"""The corpus on disk: parts that travel, and what is read again from them."""

import random
from pathlib import Path

import pytest

from pretraining import corpus
from pretraining.corpus import CorpusError, Document

GOOD = "".join(f"def function_{n}(argument):\n    return argument + {n}\n\n" for n in range(12))


def body(name: str) -> str:
    return GOOD.replace("function", name)


def random_documents(count: int) -> list[Document]:
    """Documents that hardly compress, with every kind of line end in them."""
    rng = random.Random(1)
    return [
        Document("p", f"{number}.go", "\u2028\r\n\x85" + rng.randbytes(4_000).hex(), "go")
        for number in range(count)
    ]


def test_documents_come_back_from_parts_under_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus, "PART_BYTES", 200_000)
    written = random_documents(300)
    corpus.write_parts(corpus.folder_of(tmp_path, "go"), "train", written)
    parts = sorted(corpus.folder_of(tmp_path, "go").iterdir())
    assert [part.name for part in parts[:2]] == ["train-000.jsonl.xz", "train-001.jsonl.xz"]
    assert len(parts) > 3
    # what may come on top: one document, and what the compressor holds back
    assert all(part.stat().st_size < 200_000 + 8_000 + 100_000 for part in parts)
    assert corpus.read(tmp_path, "train") == written


def test_the_limit_leaves_room_for_the_largest_document_in_60_mb() -> None:
    largest = 4 * 200_000 + 1_000_000  # bytes of UTF-8, and of the compressor's own store
    assert corpus.PART_BYTES + largest < 60_000_000


def test_all_languages_are_read_and_sides_kept_apart(tmp_path: Path) -> None:
    for language in ("rust", "python"):
        for side in ("train", "held_out"):
            document = Document(side, "a", body(language), language)
            corpus.write_parts(corpus.folder_of(tmp_path, language), side, [document])
    read = corpus.read(tmp_path, "held_out")
    assert [(document.package, document.language) for document in read] == [
        ("held_out", "python"), ("held_out", "rust"),
    ]  # fmt: skip


def test_a_missing_corpus_and_a_damaged_part_are_named(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no train documents"):
        corpus.read(tmp_path, "train")
    corpus.write_parts(corpus.folder_of(tmp_path, "go"), "train", random_documents(30))
    (part,) = corpus.folder_of(tmp_path, "go").iterdir()
    whole = part.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"not xz", b""):
        part.write_bytes(damaged)
        with pytest.raises(CorpusError, match="is damaged"):
            corpus.read(tmp_path, "train")


def test_tsx_counts_as_typescript() -> None:
    assert Document("p", "a.tsx", "", "tsx").counted_as == "typescript"
    assert Document("p", "a.rs", "", "rust").counted_as == "rust"
