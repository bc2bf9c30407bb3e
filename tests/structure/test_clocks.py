"""Durations are measured by a clock that nobody sets; the wall clock only dates what is stored."""

import ast

from tests.structure.source import PACKAGES, files, tree

SHIPPED = set(PACKAGES) - {"benchmarks", "pretraining"}
DATED = {
    "code_model/leftovers.py": "ages of files that a killed process left",
    "lsp_server/server.py": "periods of the A/B test, as its statistics have them",
    "lsp_server/statistics.py": "the time of an outcome",
    "prompts/store.py": "ages of stored prompts",
}
"""The files that may read the wall clock, and what for."""


def wall_clocks(source: ast.AST) -> list[int]:
    """The lines that name a function which returns the time of day."""
    return [
        node.lineno
        for node in ast.walk(source)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and (
            (node.value.id == "time" and node.attr in ("time", "time_ns", "ctime", "localtime"))
            or (node.value.id in ("datetime", "date") and node.attr in ("now", "today", "utcnow"))
        )
    ]


def test_only_dates_are_of_the_wall_clock() -> None:
    reading = {
        str(path) for path in files() if path.parts[0] in SHIPPED and wall_clocks(tree(path))
    }
    assert reading == set(DATED)


def test_no_clock_is_imported_by_itself() -> None:
    """Else the check above would not see it."""
    importing = [
        str(path)
        for path in files()
        if path.parts[0] in SHIPPED
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ImportFrom)
        and node.module in ("time", "datetime")
        and {name.name for name in node.names} & {"time", "time_ns", "ctime", "localtime"}
    ]
    assert importing == []


def test_a_wall_clock_is_noticed() -> None:
    for source in ("time.time()", "clock = time.time", "datetime.now()", "date.today()"):
        assert wall_clocks(ast.parse(source)) == [1]
    assert wall_clocks(ast.parse("time.monotonic() + self.time")) == []
