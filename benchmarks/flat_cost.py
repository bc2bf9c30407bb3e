"""The work of one keystroke in documents and repositories of any size, with the default model.

    python -m benchmarks.flat_cost [--files 100 1000 10000] [--keystrokes 12]

Columns: milliseconds on the event loop (the edit, positions, the request), milliseconds on the
model's thread (syntax tree, context, decode), and tokens computed before the first new one. Each is
the median over keystrokes at one place, after a first one that fills the caches.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmarks.files import read_files
from code_context.index import RepositoryIndex
from code_context.index_refresh import refresh
from code_context.retrieval import Retriever
from code_model.loading import load_model
from completion.completion_model import Computation
from completion.prompted_model import PromptedModel
from completion.request import CompletionRequest
from lsp_server.document_sync import DidChangeParams, DocumentIdentifier, change
from lsp_server.documents import Documents
from lsp_server.suggestions import completion_request

REAL = "\n".join(read_files().values())
TAIL = "\n\ndef total(values):\n    result = "
TYPED = "sum(values) + offset"
MB = 1 << 20


def documents() -> dict[str, str]:
    """Texts by what they are; the cursor is at their end."""
    code = REAL * (50 * MB // len(REAL) + 1)
    return {
        "100 lines": "\n".join(REAL.split("\n")[:100]) + TAIL,
        "1,000 lines": "\n".join(REAL.split("\n")[:1000]) + TAIL,
        "20,000 lines": "\n".join(code.split("\n", 20_000)[:20_000]) + TAIL,
        "50 MB of lines": code[: 50 * MB] + TAIL,
        "10,000 numbers in a line": "x = [" + "12, " * 10_000,
        "1,000,000 numbers in a line": "x = [" + "12, " * 1_000_000,
        "80,000 openers": "x = " + "(" * 80_000,
        "800,000 openers": "x = " + "(" * 800_000,
    }


def measure(model: PromptedModel, text: str, keystrokes: int) -> tuple[float, float, float]:
    """Medians: milliseconds on the loop and on the model's thread, and tokens prefilled."""
    uri, opened = "file:///work/space/module.py", Documents()
    opened.set_folders([Path("/work/space")])
    opened.open(uri, "python", text)
    loop, worker, tokens = [], [], []
    for number in range(keystrokes + 1):
        character = TYPED[number % len(TYPED)]
        started = time.perf_counter()
        document = opened.get(uri)
        if document is None:
            raise RuntimeError("The document is not open.")
        line, column = document.lines.to_utf16(len(document.text))
        at = {"line": line, "character": column}
        changes = [{"range": {"start": at, "end": at}, "text": character}]
        change(opened, DidChangeParams(DocumentIdentifier(uri), changes))
        document = opened.get(uri)
        if document is None or document.refusal is not None:
            loop.append(time.perf_counter() - started)
            worker.append(0.0)
            tokens.append(0)
            continue
        offset = document.lines.from_utf16(line, column + 1)
        request = completion_request(opened, document, offset, explicit=True)
        loop.append(time.perf_counter() - started)
        started = time.perf_counter()
        result = model.complete(request, Computation())
        worker.append(time.perf_counter() - started)
        tokens.append(result.prefilled or 0)
    return 1000 * median(loop[1:]), 1000 * median(worker[1:]), median(tokens[1:])


def indexed(folder: Path, n_files: int) -> Retriever:
    """A repository of so many real and different files."""
    texts = list(read_files().values())
    for number in range(n_files):
        file = folder / f"package_{number // 100}" / f"module_{number}.py"
        file.parent.mkdir(exist_ok=True, parents=True)
        text = "\n".join(texts[number % len(texts)].split("\n")[:60])
        file.write_text(text.replace("def ", f"def of_{number}_"), encoding="utf-8")
    index = RepositoryIndex()
    refresh(index, folder)
    return Retriever(index)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print a table and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, nargs="*", default=[100, 1000, 10_000])
    parser.add_argument("--keystrokes", type=int, default=12)
    parser.add_argument("--documents", nargs="*", default=list(documents()))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/flat_cost.json"))
    options = parser.parse_args(arguments)
    rows: dict[str, tuple[float, float, float]] = {}
    language_model = load_model()
    language_model.prepare()
    texts = documents()

    def show(name: str, retriever: Retriever | None, text: str) -> None:
        def retrieve(request: CompletionRequest) -> Retriever | None:
            if retriever is not None:
                retriever.update_open_documents({request.path: request.text}, request.path, 0)
            return retriever

        model = PromptedModel(language_model, None, lambda status: None, retriever_for=retrieve)
        rows[name] = measure(model, text, options.keystrokes)
        loop, worker, tokens = rows[name]
        print(f"| {name} | {loop:.1f} | {worker:.0f} | {tokens:.0f} |", flush=True)

    print("| document or repository | event loop, ms | model's thread, ms | tokens |")
    print("| --- | --- | --- | --- |")
    for name in options.documents:
        show(name, None, texts[name])
    for n_files in options.files:
        with tempfile.TemporaryDirectory() as folder:
            show(f"{n_files:,} files", indexed(Path(folder), n_files), texts["100 lines"])
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(
        json.dumps({name: [round(value, 2) for value in row] for name, row in rows.items()}) + "\n",
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
