"""Every expected error has a code of a closed list, which the docs and the VS Code client share."""

import importlib
import json
import pkgutil
import re
import sys
from pathlib import Path

import pytest
import typer

import attune
import prompts
from attune.__main__ import main
from attune.errors import EXPECTED, ErrorCode, InterruptedRunError, classify, report_error
from attune.output import BAD_INPUT, INTERNAL_ERROR, INTERRUPTED
from prompts.errors import PromptError, UntrustedPrompt

ROOT = Path(__file__).parents[3]
MAIN_ONLY = {ErrorCode.USAGE, ErrorCode.INTERNAL}


def resolve(name: str) -> type[Exception]:
    module, _, kind = name.rpartition(".")
    return getattr(importlib.import_module(module), kind)


def subclasses(kind: type[Exception]) -> set[type[Exception]]:
    return {kind}.union(*(subclasses(below) for below in kind.__subclasses__()))


@pytest.mark.parametrize("name", EXPECTED)
def test_every_expected_name_is_an_exception_that_gets_this_code(name):
    kind = resolve(name)
    assert classify(kind("x")) == EXPECTED[name]


def test_every_prompt_error_has_a_code_of_its_own():
    for package in (attune, prompts):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    kinds = {kind for kind in subclasses(PromptError) if not kind.__module__.startswith("tests")}
    names = {f"{kind.__module__}.{kind.__qualname__}" for kind in kinds}
    assert names <= set(EXPECTED)


def test_every_code_is_used_and_stands_in_the_docs_with_its_exit_code():
    used = {code for code, _ in EXPECTED.values()} | MAIN_ONLY
    assert used == set(ErrorCode)
    exit_codes = dict(EXPECTED.values())
    exit_codes |= {ErrorCode.USAGE: BAD_INPUT, ErrorCode.INTERNAL: INTERNAL_ERROR}
    page = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (\d+)", page.partition("### Error codes")[2], re.M)
    assert {code: int(exit_code) for code, exit_code in rows} == exit_codes


def test_the_vscode_client_knows_the_same_codes():
    source = (ROOT / "vscode-client" / "src" / "errors.ts").read_text(encoding="utf-8")
    codes = source.partition("ERROR_CODES = [")[2].partition("]")[0]
    assert set(re.findall(r'"(\w+)"', codes)) == set(ErrorCode)


def test_a_subclass_without_a_code_gets_that_of_its_base():
    class NewKind(UntrustedPrompt):
        pass

    assert classify(NewKind("x")) == EXPECTED["prompts.errors.UntrustedPrompt"]


@pytest.mark.parametrize("as_json", [False, True])
def test_a_report_has_the_message_on_stderr_and_the_code_on_stdout(as_json, capsys):
    error = UntrustedPrompt("Nobody vouches for it.")
    error.add_note("--trust gives your consent.")
    assert report_error(error, as_json=as_json) == BAD_INPUT
    printed = capsys.readouterr()
    assert printed.err == "attune: Nobody vouches for it.\nattune: --trust gives your consent.\n"
    if not as_json:
        assert printed.out == ""
        return
    reported = {"code": "prompt_untrusted", "message": "Nobody vouches for it."}
    assert json.loads(printed.out) == {"error": reported}


def test_an_unexpected_error_is_internal(capsys):
    assert report_error(KeyError("x"), as_json=True) == INTERNAL_ERROR
    printed = capsys.readouterr()
    assert json.loads(printed.out)["error"]["code"] == "internal"
    assert "run again with -v" in printed.err


def run(monkeypatch, capsys, *arguments) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["attune", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    printed = capsys.readouterr()
    return int(ended.value.code or 0), printed.out, printed.err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("complete", "app.py"), "position_invalid"),
        (("complete", "app.py:1:1", "--nonsense"), "usage"),
        (("complete",), "usage"),
        (("doctor", "nowhere"), "usage"),
        (("prompt", "inspect", "nothing.attune.safetensors"), "store_failed"),
    ],
)
def test_a_command_with_json_fails_with_a_code(arguments, code, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    exit_code, out, err = run(monkeypatch, capsys, *arguments, "--json")
    error = json.loads(out)["error"]
    assert (exit_code, error["code"]) == (BAD_INPUT, code)
    assert error["message"] in err
    assert run(monkeypatch, capsys, *arguments) == (exit_code, "", err)


def test_success_and_an_exit_code_of_a_command_are_kept(monkeypatch, capsys):
    assert run(monkeypatch, capsys, "--version")[0] == 0

    def problem(*args: object) -> None:
        raise typer.Exit(1)

    monkeypatch.setattr("attune.doctor.examine", problem)
    assert run(monkeypatch, capsys, "doctor", "--json") == (1, "", "")


def test_ctrl_c_is_reported_with_its_code(monkeypatch, capsys):
    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("attune.doctor.examine", interrupt)
    exit_code, out, _ = run(monkeypatch, capsys, "doctor", "--json")
    assert exit_code == INTERRUPTED
    assert json.loads(out)["error"]["code"] == classify(InterruptedRunError(""))[0]
