"""Every text file is opened with a named encoding: the locale's may be ASCII."""

import ast

from tests.structure.source import PACKAGES, files, tree

SHIPPED = set(PACKAGES) - {"benchmarks", "pretraining"}
# how many positional arguments come before, and with, the encoding
TEXT_CALLS = {"read_text": 1, "write_text": 2}


def lacks_encoding(call: ast.Call) -> bool:
    keywords = {keyword.arg for keyword in call.keywords}
    if "encoding" in keywords:
        return False
    if isinstance(call.func, ast.Attribute):
        if call.func.attr in TEXT_CALLS:
            return len(call.args) < TEXT_CALLS[call.func.attr]
        if call.func.attr in ("run", "Popen", "check_output"):
            return bool(keywords & {"text", "universal_newlines"})
    if isinstance(call.func, ast.Name) and call.func.id == "open":
        mode = [argument.value for argument in call.args[1:2] if isinstance(argument, ast.Constant)]
        return not mode or "b" not in str(mode[0])
    return False


def test_every_text_file_is_opened_with_an_encoding() -> None:
    lacking = [
        f"{path}:{node.lineno}"
        for path in files()
        if path.parts[0] in SHIPPED
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and lacks_encoding(node)
    ]
    assert lacking == []


def test_a_call_without_an_encoding_is_noticed() -> None:
    for source in ("p.read_text()", "p.write_text('x')", "open(p)", "open(p, 'w')",
                   "subprocess.run(c, text=True)"):  # fmt: skip
        (statement,) = ast.parse(source).body
        assert isinstance(statement, ast.Expr)
        assert isinstance(statement.value, ast.Call)
        assert lacks_encoding(statement.value)
