"""The model always sees line feeds: the same places give the same answers with CRLF."""

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from code_context.index import RepositoryIndex
from code_context.index_refresh import refresh
from code_context.retrieval import Retriever
from code_model.loading import load_model
from completion.model_input import CompletionPoint, context_at, model_input
from completion.pipeline import complete

PROJECT = Path(__file__).parents[3]
PLACES = [
    (path, share)
    for path in ("completion/cache.py", "prompts/store.py", "code_context/windows.py")
    for share in (0.15, 0.35, 0.55, 0.75, 0.95)
]
LINES = ["x = 1", "def f(a):", "    return a", "", "é = '😀'"]
ENDINGS = (["\r\n"], ["\r"], ["\r\n", "\n"])


@pytest.fixture(scope="module")
def base():
    return load_model()


def place(text: str, share: float) -> int:
    """An offset inside a line, behind its first word."""
    start = text.rindex("\n", 0, int(len(text) * share)) + 1
    while not text[start : text.index("\n", start)].strip():
        start = text.index("\n", start) + 1
    line = text[start : text.index("\n", start)]
    return start + len(line) - len(line.lstrip()) + len(line.split()[0])


def retriever_of(root: Path, open_texts: dict[str, str]) -> Retriever:
    index = RepositoryIndex()
    refresh(index, root)
    retriever = Retriever(index)
    retriever.update_open_documents(open_texts, "elsewhere.py", 0)
    return retriever


@pytest.mark.slow
def test_the_same_places_give_the_same_answers_with_crlf(base, tmp_path: Path) -> None:
    """Also where snippets come from other files, on disk and open."""
    answers = []
    session = base.open()
    for ending in ("\n", "\r\n"):
        root = tmp_path / repr(len(ending))
        shutil.copytree(PROJECT / "completion", root / "completion")
        for path in root.rglob("*.py"):
            path.write_text(path.read_text("utf-8"), "utf-8", newline=ending)
        other = (PROJECT / "prompts" / "file.py").read_text("utf-8").replace("\n", ending)
        retriever = retriever_of(root, {"prompts/file.py": other})
        for name, share in PLACES:
            text = (PROJECT / name).read_text("utf-8")
            offset = place(text, share)
            text = text[:offset] + text[text.index("\n", offset) :]
            before, after = (part.replace("\n", ending) for part in (text[:offset], text[offset:]))
            point = CompletionPoint.parse(before + after, name, len(before), retriever)
            result = complete(session, point, explicit=True)
            assert ending == "\n" or "\n" not in result.text.replace("\r\n", "")
            ids = tuple(model_input(base.encoder, point))
            answers.append((ids, result.text.replace("\r\n", "\n"), result.reason))
    half = len(answers) // 2
    assert answers[:half] == answers[half:]
    assert sum(bool(text) for _, text, _ in answers) >= half // 2


@given(
    lines=st.lists(st.sampled_from(LINES), min_size=1),
    endings=st.sampled_from(ENDINGS),
    data=st.data(),
)
def test_the_context_is_that_of_the_text_with_line_feeds(lines, endings, data, base) -> None:
    """Whatever ends the lines, also different endings in one file."""
    pieces = [(line, endings[n % len(endings)]) for n, line in enumerate(lines)]
    row = data.draw(st.integers(0, len(lines) - 1))
    column = data.draw(st.integers(0, len(lines[row])))
    contexts = []
    for plain in (True, False):
        texts = [line + ("\n" if plain else ending) for line, ending in pieces]
        offset = sum(map(len, texts[:row])) + column
        point = CompletionPoint.parse("".join(texts), "a.py", offset)
        contexts.append(context_at(base.encoder, point))
    assert contexts[0] == contexts[1]


def test_a_cursor_between_the_two_characters_is_before_the_line_ending() -> None:
    point = CompletionPoint.parse("ab\r\ncd", "a.py", 3)
    assert (point.tree.text, point.offset, point.newline) == ("ab\ncd", 2, "\r\n")


def test_no_snippet_of_an_open_or_saved_document_has_a_carriage_return(tmp_path: Path) -> None:
    code = "def open_ledger(owner):\r\n    book = owner.books()\r\n    return book\r\n"
    (tmp_path / "ledger.py").write_bytes(code.encode())
    retriever = retriever_of(tmp_path, {"other.py": code.replace("ledger", "journal")})
    retriever.update_open_documents({"other.py": code + "x = 1\r\n"}, "other.py", 1)
    point = CompletionPoint.parse("x = open_ledger(o)\r\ny = open_journal(", "a.py", 37)
    snippets = retriever.snippets(point.tree, "a.py", point.offset)
    assert {snippet.path for snippet in snippets} == {"ledger.py", "other.py"}
    assert not [snippet for snippet in snippets if "\r" in snippet.text]
