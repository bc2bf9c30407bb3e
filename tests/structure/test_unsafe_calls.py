"""No pickle, no code of a model's repository, no shell: not a call of one in what is shipped."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.structure.source import files, tree

SHIPPED = (
    "attune",
    "lsp_server",
    "tuning",
    "completion",
    "code_model",
    "code_context",
    "prompts",
    "file_access",
    "pretraining",
)
MODULES = {"pickle", "cPickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
CALLS = {
    "eval", "exec", "compile", "__import__", "os.system", "os.popen", "os.startfile", "pty.spawn",
    "subprocess.getoutput", "subprocess.getstatusoutput", "asyncio.create_subprocess_shell",
    "torch.load", "torch.hub.load", "yaml.load", "pandas.read_pickle",
}  # fmt: skip
ALLOWED_KEYWORDS = {"trust_remote_code": False, "shell": False, "allow_pickle": False}


def unsafe(module: ast.Module) -> Iterator[str]:
    """What the module does that is not allowed, with its line."""
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(f"{node.module}.{each.name}" for each in node.names)]
        else:
            names = []
        for name in names:
            if name.partition(".")[0] in MODULES or name in CALLS:
                yield f"{node.lineno}: import of {name}"
        if isinstance(node, ast.Call):
            if (name := ast.unparse(node.func)) in CALLS and not _reads_weights_only(node):
                yield f"{node.lineno}: {name}"
            for keyword in node.keywords:
                if keyword.arg in ALLOWED_KEYWORDS and not (
                    isinstance(keyword.value, ast.Constant)
                    and keyword.value.value is ALLOWED_KEYWORDS[keyword.arg]
                ):
                    yield f"{node.lineno}: {keyword.arg}={ast.unparse(keyword.value)}"


def _reads_weights_only(call: ast.Call) -> bool:
    """Whether it is `torch.load(…, weights_only=True)`, which makes tensors and nothing else."""
    return any(
        each.arg == "weights_only" and ast.unparse(each.value) == "True" for each in call.keywords
    )


def test_nothing_that_is_shipped_is_unsafe() -> None:
    shipped = [path for path in files() if path.parts[0] in SHIPPED]
    assert len(shipped) > 100
    assert [f"{path}:{each}" for path in shipped for each in unsafe(tree(path))] == []


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from pickle import loads",
        "import shelve as s",
        "torch.load(path)",
        "from os import system",
        "os.popen('ls')",
        "subprocess.run(command, shell=True)",
        "subprocess.run(command, shell=is_windows)",
        "AutoModel.from_pretrained(name, trust_remote_code=True)",
        "numpy.load(path, allow_pickle=True)",
        "eval(text)",
    ],
)
def test_the_rule_finds(code: str) -> None:
    assert list(unsafe(ast.parse(code)))


@pytest.mark.parametrize(
    "code",
    [
        "torch.load(path, weights_only=True)",
        "re.compile('x')",
        "model.eval()",
        "run(command, shell=False)",
    ],
)
def test_the_rule_allows(code: str) -> None:
    assert not list(unsafe(ast.parse(code)))


def test_every_package_is_covered() -> None:
    root = Path(__file__).parents[2]
    packages = {init.parent.name for init in root.glob("*/__init__.py")}
    assert packages - {"benchmarks", "tests"} == set(SHIPPED)
