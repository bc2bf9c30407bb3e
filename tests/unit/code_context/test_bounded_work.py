"""Text of odd shape: the work of a keystroke has a limit. Operations are counted, not time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from code_context import syntax
from code_context.completion_kind import decide
from code_context.context import ContextConfig, build_context
from code_context.positions import LineIndex
from code_context.query_context import query_parts
from code_context.scopes import enclosing_scopes
from code_context.syntax import MAX_CONTINUATIONS, MAX_TOKEN_RUN, parse
from code_context.windows import prefix_start, suffix_end

NUMBERS = ", ".join(str(n) for n in range(10_000))


@pytest.mark.parametrize("opener", ["(", "[{", "-", "not ", "lambda:", "(\n"])
def test_a_long_run_of_tokens_is_not_queried(opener: str) -> None:
    """A query of tree-sitter takes time quadratic in such a run: 80,000 openers took 12 s."""
    text = "x = " + opener * 80_000
    tree = parse(text, "python")
    assert tree.root is None
    assert decide(tree, len(text)).kind.value == "line"
    assert enclosing_scopes(tree, len(text)) == []
    assert query_parts(tree, len(text))
    assert parse(text + "(", "python", tree).root is None


def test_a_run_below_other_code_is_found() -> None:
    code = "".join(f"def f{n}(a):\n    return a\n" for n in range(3_000))
    assert parse(code, "python").root is not None
    assert parse(f"{code}x = {'(' * (2 * MAX_TOKEN_RUN)}\n{code}", "python").root is None
    assert parse("x = [" + "," * (2 * MAX_TOKEN_RUN) + "]", "javascript").root is None


@pytest.mark.parametrize(
    "text",
    [
        f"x = [{NUMBERS}]",
        f"x = [{NUMBERS}, ",
        "x = " + "(" * 30_000 + ")" * 30_000,
        "x = " + "f(" * 30_000,
        "x = (" + " " * 10_000 + ")",
        "x = '" + "(" * 30_000 + "'",
        "if a:\n" * 3_000,
    ],
)
def test_large_constructs_keep_their_tree(text: str) -> None:
    assert parse(text, "python").root is not None


@pytest.mark.parametrize("line", ["\\\n", "  \\\r\n", "x\\\n", "\n  \\\n"])
def test_many_continued_lines_are_not_parsed(line: str) -> None:
    """Parsing them takes quadratic time: 20,000 took 12 s."""
    assert parse(line * (MAX_CONTINUATIONS + 1), "python").root is None
    assert parse((line * (MAX_CONTINUATIONS - 1) + "x = 1\n") * 3, "python").root is not None


@pytest.mark.parametrize(
    ("language", "piece"), [("java", "a<"), ("c", "x=>"), ("csharp", "<a\n"), ("cpp", "a < ")]
)
def test_a_long_expression_is_not_parsed(language: str, piece: str) -> None:
    """16,000 characters of the first took six seconds, 18,000 of the second 37."""
    text = piece * 20_000
    tree = parse(text, language)
    assert tree.root is None
    assert decide(tree, len(text)).kind.value == "line"
    assert parse("class A {\n  int a;\n}\n", language, tree).root is not None


def test_long_data_is_parsed() -> None:
    text = 'String key = "' + "aB3" * 3_000 + '";\n'
    assert parse("class A {\n" + text + "}", "java").root is not None
    assert parse(f"int a[] = {{{NUMBERS}}};", "c").root is not None
    assert parse("/* " + "a note on what follows. " * 500 + "*/ int a;", "c").root is not None


def test_parsing_that_takes_too_long_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    code = "".join(f"def f{n}(a):\n    return a\n" for n in range(3_000))
    monkeypatch.setattr(syntax, "PARSE_SECONDS", 0.0)
    monkeypatch.setattr(syntax, "PARSE_SECONDS_PER_BYTE", 0.0)
    tree = parse(code, "python")
    assert tree.root is None
    assert decide(tree, len(code)).kind.value == "line"
    monkeypatch.undo()
    assert parse(code, "python", tree).root is not None


class Counter:
    """A tokenizer with four characters per token that counts the characters it was given."""

    def __init__(self) -> None:
        self.characters = 0

    def __call__(self, text: str) -> int:
        self.characters += len(text)
        return -(-len(text) // 4)


@pytest.mark.parametrize("repeats", [1, 10, 100])
def test_the_work_of_a_window_does_not_grow_with_the_line(repeats: int) -> None:
    text = f"x = [{NUMBERS * repeats}]"
    offset, count = len(text) // 2, Counter()
    config = ContextConfig()
    build_context(parse(text, None), "a.py", offset, config=config, count_tokens=count)
    assert count.characters < 200_000


def test_typing_in_a_long_line_moves_the_window_in_blocks() -> None:
    """Every character moved it: 383 tokens were computed per keystroke."""
    text = f"x = [{NUMBERS}"
    config = ContextConfig()
    starts, ends = [], []
    for n in range(400):
        typed = f"{text}{', 7' * n}, 9]"
        offset = len(typed) - 4
        lines = LineIndex(typed + NUMBERS)
        count = Counter()
        starts.append(prefix_start(lines, offset, config.max_prefix_tokens, 16, count))
        end = suffix_end(lines, offset, config.max_suffix_tokens, 16, count)
        ends.append(len(lines.text) - end)
    assert len(set(starts)) <= 5
    assert len(set(ends)) == 1


@given(st.text(st.sampled_from("a1 é😀"), max_size=400), st.integers(1, 40), st.integers(1, 5))
def test_windows_in_a_line_keep_their_budget(text: str, budget: int, width: int) -> None:
    offset = len(text) // 2

    def count(part: str) -> int:
        return width * len(part)

    start = prefix_start(LineIndex(text), offset, budget, 16, count)
    end = suffix_end(LineIndex(text), offset, budget, 16, count)
    assert 0 <= start <= offset <= end <= len(text)
    assert count(text[start:offset]) <= budget
    assert count(text[offset:end]) <= budget
    if budget >= width:
        assert start < offset or offset == 0
        assert end > offset or offset == len(text)
