"""Golden cases of holes in every language."""

import pytest

from code_context.holes import find_holes
from code_context.languages import is_tunable, languages
from code_context.syntax import parse

BRACES = {
    "javascript": "function add(a, b) {\n  const sum = a + 1;\n  if (sum > 3) {\n"
    "    return put(sum);\n  }\n}\n",
    "typescript": "function add(a: number) {\n  const sum: number = a + 1;\n  if (sum > 3) {\n"
    "    return put(sum);\n  }\n}\n",
    "tsx": "const add = (a: number) => {\n  const sum = a + 1;\n  if (sum > 3) {\n"
    "    return put(sum);\n  }\n};\n",
    "go": "package main\n\nfunc Add(a int) int {\n\tsum := a + 1\n\tif sum > 3 {\n"
    "\t\treturn put(sum)\n\t}\n\treturn 0\n}\n",
    "rust": "fn add(a: i64) -> i64 {\n    let sum = a + 1;\n    if sum > 3 {\n"
    "        return put(sum);\n    }\n    sum\n}\n",
    "java": "class Sums {\n    int add(int a) {\n        int sum = a + 1;\n        if (sum > 3) {\n"
    "            return put(sum);\n        }\n    }\n}\n",
    "c": "int add(int a) {\n    int sum = a + 1;\n    if (sum > 3) {\n        return put(sum);\n"
    "    }\n}\n",
    "cpp": "int add(int a) {\n    auto sum = a + 1;\n    if (sum > 3) {\n        return put(sum);\n"
    "    }\n}\n",
    "csharp": "class Sums {\n    int Add(int a) {\n        sum = a + 1;\n        if (sum > 3) {\n"
    "            return put(sum);\n        }\n    }\n}\n",
    "php": "<?php\nfunction add($a) {\n    $sum = $a + 1;\n    if ($sum > 3) {\n"
    "        return put($sum);\n    }\n}\n",
    "ruby": "def add(a)\n  sum = a + 1\n  if sum > 3\n    return put(sum)\n  end\nend\n",
    "python": "def add(a):\n    sum = a + 1\n    if sum > 3:\n        return put(sum)\n",
}


def test_every_language_has_holes_and_is_tunable() -> None:
    assert set(BRACES) == set(languages())
    assert all(map(is_tunable, languages()))
    assert not is_tunable(None)


@pytest.mark.parametrize("language", BRACES)
def test_holes(language: str) -> None:
    text = BRACES[language]
    holes: dict[str, set[str]] = {}
    for hole in find_holes(parse(text, language)):
        holes.setdefault(hole.kind, set()).add(text[hole.start : hole.end])
    by_kind = {kind: {one.replace("$", "") for one in texts} for kind, texts in holes.items()}
    assert "a + 1" in by_kind["expression"]
    assert "sum" in by_kind["arguments"]
    assert any(one.startswith("return put(sum)") for one in by_kind["line"])
    assert any(one.rstrip(";").endswith("(sum)") for one in by_kind["line_end"])
    (block,) = by_kind["block"]
    assert block.rstrip(";") == "return put(sum)", "without braces and surrounding white space"
    (body,) = by_kind["body"]
    assert body.splitlines()[0].partition("=")[2].strip(" ;") == "a + 1"
    assert "put(sum)" in body
    assert not body.startswith("{")


def test_arguments_without_parentheses_are_no_hole() -> None:
    kinds = [hole.kind for hole in find_holes(parse("puts name, value\n", "ruby"))]
    assert "arguments" not in kinds
