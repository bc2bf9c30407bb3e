"""The context of a cursor: budgets, header, snippets, and stability while typing."""

import hashlib
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from code_context.context import Context, ContextConfig, build_context
from code_context.snippets import Snippet
from code_context.syntax import parse
from tests.conftest import cursor

CONFIG = ContextConfig(
    max_prefix_tokens=60, max_suffix_tokens=30, max_header_tokens=20, max_snippet_tokens=15
)
BODY = "".join(f"        x{n} = {n}\n" for n in range(40))


def words(text: str) -> int:
    """A token counter: words and line ends."""
    return len(text.replace("\n", " \n ").split(" "))


def build(marked: str, config: ContextConfig = CONFIG, **more: object) -> Context:
    at = cursor(marked)
    snippets = more.get("snippets", ())
    tree = parse(at.text, "python")
    return build_context(
        tree, "a.py", at.offset, config=config, count_tokens=words, snippets=snippets,  # type: ignore[arg-type]
    )  # fmt: skip


def test_a_small_file_is_shown_completely_without_a_header() -> None:
    context = build("import os\n\n\ndef f():\n    return $0\n\n\nf()\n")
    assert context.prefix == "import os\n\n\ndef f():\n    return "
    assert context.suffix == "\n\n\nf()\n"
    assert context.header == ""


def test_imports_and_signatures_above_the_window_are_in_the_header() -> None:
    context = build(f"import os\nimport re\n\n\nclass A:\n    def f(self):\n{BODY}        $0\n")
    assert context.header == "import os\nimport re\nclass A:\n    def f(self):\n"
    assert context.prefix.startswith("        x")


def test_signatures_have_priority_over_imports() -> None:
    tight = ContextConfig(max_prefix_tokens=60, max_suffix_tokens=30, max_header_tokens=12)
    context = build(f"import os\n\n\nclass A:\n    def f(self):\n{BODY}        $0\n", tight)
    assert "def f(self):" in context.header
    assert "import os" not in context.header


def test_a_snippet_that_does_not_fit_is_skipped() -> None:
    snippets = (Snippet("b.py", "b = 1"), Snippet("c.py", "c " * 40), Snippet("d.py", "d"))
    context = build("$0", snippets=snippets)
    assert [snippet.path for snippet in context.snippets] == ["b.py", "d.py"]


def test_typing_does_not_move_the_window() -> None:
    text = f"def f():\n{BODY}"
    starts, suffixes = set(), set()
    for typed in ("", "v", "va", "val", "value", "value = ", "value = 1"):
        context = build(f"{text}        {typed}$0\n{BODY}")
        starts.add(context.prefix[:20])
        suffixes.add(context.suffix)
    assert len(starts) == 1
    assert len(suffixes) == 1


def test_windows_of_ordinary_files_stay_as_prompts_were_tuned() -> None:
    """A soft prompt is tuned with these boundaries: they must not change."""
    text = "".join(f"def f{n}(a):\n    return g{n}(a, {n})\n\n\n" for n in range(60))
    windows = []
    for offset in range(0, len(text), 7):
        context = build(f"{text[:offset]}$0{text[offset:]}")
        windows.append((offset - len(context.prefix), offset + len(context.suffix)))
    digest = hashlib.sha256(repr(windows).encode()).hexdigest()
    assert digest == "152cbc3ac6fa3f9ac2cb9f8beea9a7c7874263390de2e72bc78f868de7eb2a45"


def test_inserted_lines_do_not_move_the_end_of_the_suffix() -> None:
    ends = {
        build(f"def f():\n{new}        $0\n{BODY}").suffix.strip().splitlines()[-1]
        for new in ("", "        a = 1\n", "        a = 1\n        b = 2\n")
    }
    assert len(ends) == 1


def within(text: str, limit: int, count: Callable[[str], int]) -> bool:
    return not text or count(text) <= limit


@given(
    st.lists(st.sampled_from(["x = 1\n", "\n", "def f():\n", "    é = '😀' * 3\r\n", "a" * 300]))
    .map("".join),
    st.data(),
)  # fmt: skip
def test_budgets_hold_and_windows_join_at_the_cursor(text: str, data: st.DataObject) -> None:
    offset = data.draw(st.integers(0, len(text)))
    tree = parse(text, "python")
    count = len  # every character is a token
    context = build_context(tree, "a.py", offset, config=CONFIG, count_tokens=count)
    assert text[:offset].endswith(context.prefix)
    assert context.prefix or not offset
    assert text[offset:].startswith(context.suffix)
    assert within(context.prefix, CONFIG.max_prefix_tokens, count)
    assert within(context.suffix, CONFIG.max_suffix_tokens, count)
    assert within(context.header, CONFIG.max_header_tokens, count)
    again = build_context(parse(text, "python"), "a.py", offset, config=CONFIG, count_tokens=count)
    assert again == context


def test_members_of_the_class_follow_its_signature() -> None:
    members = "    size: int = 3\n\n    @property\n    def name(self):\n        def inner(): pass\n"
    below = "    def later(self, a):\n        pass\n\n\ndef outside():\n    pass\n"
    filler = "".join(f"    # {n}\n" for n in range(40))
    marked = (
        f"import os\n\n\nclass A:\n{members}\n    def f(self):\n{BODY}        $0\n{filler}{below}"
    )
    roomy = ContextConfig(max_prefix_tokens=60, max_suffix_tokens=30, max_header_tokens=80)
    assert build(marked, roomy).header == (
        "import os\nclass A:\n    size: int = 3\n    def name(self):\n    def f(self):\n"
        "    def later(self, a):\n"
    )


def test_a_long_snippet_is_cut_at_the_end_of_a_line() -> None:
    text = "".join(f"line {n} of it\n" for n in range(20))
    context = build("$0", ContextConfig(max_snippet_tokens=60), snippets=(Snippet("b.py", text),))
    (snippet,) = context.snippets
    assert text.startswith(snippet.text)
    assert 5 <= len(snippet.text.splitlines()) < 20
    assert snippet.text.endswith("\n")
    assert context.candidates[0].tokens <= 45
