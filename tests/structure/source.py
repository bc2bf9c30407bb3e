"""The repository's Python source, for tests of its structure."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = tuple(sorted(init.parent.name for init in ROOT.glob("*/__init__.py")))
"""Every top-level package, shipped or not."""


@cache
def files() -> tuple[Path, ...]:
    """All Python files of the packages and of the tests, relative to the root."""
    folders = (*PACKAGES, "tests", "vscode-client/e2e")
    return tuple(
        sorted(path.relative_to(ROOT) for name in folders for path in (ROOT / name).rglob("*.py"))
    )


@cache
def tree(path: Path) -> ast.Module:
    """The syntax tree of one file."""
    return ast.parse((ROOT / path).read_text(encoding="utf-8"))


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Names of functions, methods and nested functions, and how many lines each has."""
    for node in ast.walk(tree(path)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.end_lineno:
            yield node.name, node.end_lineno - node.lineno + 1


def classes(path: Path) -> Iterator[tuple[str, set[str], str]]:
    """Names of classes, their attributes (fields and those set on `self`), one-line docstrings."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ClassDef):
            fields = {
                statement.target.id
                for statement in node.body
                if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)
            }
            assigned = {
                target.attr
                for target in ast.walk(node)
                if isinstance(target, ast.Attribute)
                and isinstance(target.ctx, ast.Store)
                and isinstance(target.value, ast.Name)
                and target.value.id == "self"
            }
            yield node.name, fields | assigned, " ".join((ast.get_docstring(node) or "").split())
