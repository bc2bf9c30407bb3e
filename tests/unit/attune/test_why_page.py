"""The page of `attune why` shows every piece, and nothing of the user's becomes markup."""

from pathlib import Path

import pytest
from jinja2 import UndefinedError

from attune.cursor import CursorPosition
from attune.pages.template import render
from attune.pages.why import COLOURS, why_page
from attune.show_why import SOURCES
from code_context.completion_kind import CompletionKind
from code_context.snippets import Snippet, SnippetCandidate
from completion.explanation import Explanation, Piece, Token
from completion.request import CompletionResult

EVIL = "<script>alert(1)</script>"


def explanation(text: str, path: str) -> Explanation:
    return Explanation(
        pieces=tuple(Piece(source, path, 6, 0.5, (1, 2, 3), text) for source in SOURCES),
        left_out=(SnippetCandidate(Snippet(path, text, "similar", 0.25, 1), 90, "no room"),),
        result=CompletionResult(text, kind=CompletionKind.LINE),
        tokens=(Token(text, 0.5), Token("\n", 1.0)),
        prompt_tokens=256,
        next_letter=2,
        notes=(f"{path} is left out.",),
    )


def test_every_piece_is_on_the_page():
    position = CursorPosition(Path("/r"), "src/app.py", "one\ntwo\n", 5)
    page = why_page(position, explanation("call()", "store.py"), "team", None, "From the cache.")
    assert "<h1>src/app.py, line 2</h1>" in page
    assert "Suggests a line: call()" in page
    assert '<td>prompt, resident: team</td><td class="number">256</td>' in page
    assert '<td>all but the prompt</td><td class="number">21</td>' in page
    assert "The last completion in the editor: From the cache." in page
    assert page.count("store.py:7, score 0.50, 3 tokens") == len(SOURCES) == len(COLOURS)
    assert "store.py:2, score 0.25, 90 tokens: no room" in page
    assert 'hsl(60 70% 45%)" title="50.0 %">call()</span>' in page
    assert ">⏎</span>" in page


def test_names_and_code_stay_text():
    position = CursorPosition(Path("/r"), EVIL, EVIL, 3)
    page = why_page(position, explanation(EVIL, EVIL), EVIL, EVIL, EVIL)
    assert "<script" not in page
    assert page.count("&lt;script&gt;") > 3 * len(SOURCES)


def test_a_value_that_a_template_misses_is_an_error():
    with pytest.raises(UndefinedError):
        render("why", path="a.py")
