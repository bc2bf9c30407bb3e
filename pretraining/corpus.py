"""The corpus as it lies in its folder: documents of seven languages, in parts that travel.

`corpus/LANGUAGE` holds `train-000.jsonl.xz`, `held_out-000.jsonl.xz` and so on; `build` writes
them. Whole packages are held out for evaluation.
"""

import contextlib
import json
import lzma
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from io import BufferedWriter
from pathlib import Path

LANGUAGES = ("python", "javascript", "typescript", "c", "cpp", "go", "rust")
# compressed; with a last document and what the compressor holds back, a part stays under 60 MB
PART_BYTES = 55_000_000
PRESET = 3  # of xz: a tenth larger than with the default of 6, and written four times as fast


class CorpusError(Exception):
    """The corpus cannot be built or read; the message says what to do."""


@dataclass(frozen=True)
class Document:
    """One source file. Files of one package may be each other's context."""

    package: str
    """Its language and its name, as in `python/click`."""
    path: str
    text: str
    language: str = "python"
    """A key of `code_context.languages`."""

    @property
    def counted_as(self) -> str:
        """The one of `LANGUAGES` that it belongs to: TSX is TypeScript with markup."""
        return "typescript" if self.language == "tsx" else self.language


def folder_of(folder: Path, language: str) -> Path:
    """Where the parts of a language lie below the corpus's `folder`."""
    return folder / "corpus" / language


def read(folder: Path, side: str) -> list[Document]:
    """The documents of one side ("train" or "held_out"), of all languages that are there.

    Raises `CorpusError` if there are none, or if a part is damaged.
    """
    documents = [
        document
        for language in LANGUAGES
        for document in read_parts(folder_of(folder, language), side)
    ]
    if not documents:
        raise CorpusError(
            f"{folder / 'corpus'} has no {side} documents; run `python -m pretraining corpus` "
            "first."
        )
    return documents


def read_parts(folder: Path, side: str) -> Iterator[Document]:
    """The documents of one side of a language. Raises `CorpusError` if a part is damaged."""
    for path in sorted(folder.glob(f"{side}-*.jsonl.xz")):
        try:
            with lzma.open(path, "rt", encoding="utf-8", newline="\n") as lines:
                for line in lines:
                    yield Document(**json.loads(line))
        except (lzma.LZMAError, EOFError, ValueError, TypeError) as error:
            raise CorpusError(
                f"{path} is damaged ({error}); delete its folder and run "
                "`python -m pretraining corpus` again."
            ) from error


def write_parts(folder: Path, side: str, documents: Iterable[Document]) -> None:
    """Write one side of a language into `folder`, which has none of it yet."""
    folder.mkdir(parents=True, exist_ok=True)
    with PartWriter(folder, side) as writer:
        for document in documents:
            writer.write(document)


class PartWriter(contextlib.AbstractContextManager["PartWriter"]):
    """Writes documents one by one; begins a new part where the present one is full."""

    def __init__(self, folder: Path, side: str) -> None:
        self._folder = folder
        self._side = side
        self._number = 0
        self._stream: BufferedWriter | None = None
        self._compressor = lzma.LZMACompressor(preset=PRESET)

    def write(self, document: Document) -> None:
        """Append a document."""
        if self._stream is None:
            name = f"{self._side}-{self._number:03}.jsonl.xz"
            self._stream = (self._folder / name).open("xb")
            self._compressor = lzma.LZMACompressor(preset=PRESET)
        line = json.dumps(asdict(document), ensure_ascii=False) + "\n"
        self._stream.write(self._compressor.compress(line.encode("utf-8")))
        if self._stream.tell() >= PART_BYTES:
            self._end_part()

    def __exit__(self, *error: object) -> None:
        self._end_part()

    def _end_part(self) -> None:
        if self._stream is not None:
            self._stream.write(self._compressor.flush())
            self._stream.close()
            self._stream = None
            self._number += 1
