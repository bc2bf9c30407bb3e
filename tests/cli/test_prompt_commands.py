"""`attune prompt …` from the command line, in this process."""

import dataclasses
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from attune.prompt_commands import app
from prompts.configuration import FILE_NAME, FOLDER, read_configuration
from prompts.errors import CorruptPrompt, PromptError, StoreError, UntrustedPrompt
from prompts.file import SUFFIX, read_prompt, write_prompt
from prompts.signature import sign, write_signature
from prompts.store import Store

ARTIFACT = Path(__file__).parents[1] / "artifacts" / f"v1-kv{SUFFIX}"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository to work in."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    monkeypatch.setenv("COLUMNS", "200")
    root = tmp_path / "root"
    root.mkdir()
    monkeypatch.chdir(root)
    return root


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), catch_exceptions=True)


def ran(*arguments: str) -> str:
    result = run(*arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.stderr
    return result.stdout


def refused(error: type[PromptError], words: str, *arguments: str) -> None:
    raised = run(*arguments).exception
    assert isinstance(raised, error), raised
    assert words in str(raised)


def routed(root: Path) -> dict[tuple[str, ...], str]:
    return {
        route.globs: route.prompt for route in read_configuration(root / FOLDER / FILE_NAME).routes
    }


def test_a_prompt_from_outside_needs_consent_once(root: Path) -> None:
    refused(UntrustedPrompt, "is not signed, not trusted here", "use", str(ARTIFACT))
    assert list(root.iterdir()) == []
    ran("use", str(ARTIFACT), "--trust")
    assert routed(root) == {("**",): "example"}
    assert read_prompt(root / FOLDER / f"example{SUFFIX}").sha256 == read_prompt(ARTIFACT).sha256
    ran("use", str(ARTIFACT), "--name", "docs", "--glob", "docs/**")
    ran("use", "example", "--glob", "src/**", "--glob", "!src/x")
    assert routed(root) == {
        ("src/**", "!src/x"): "example",
        ("docs/**",): "docs",
        ("**",): "example",
    }


def test_consent_to_a_signer_covers_the_next_prompt(root: Path, tmp_path: Path) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    prompt = read_prompt(ARTIFACT)
    for name in ("one", "two"):
        path = tmp_path / f"{name}{SUFFIX}"
        manifest = dataclasses.replace(prompt.manifest, name=name)
        write_prompt(path, dataclasses.replace(prompt, manifest=manifest))
        write_signature(path, sign(path.read_bytes(), key))
    refused(UntrustedPrompt, "signed with key SHA256:", "use", str(tmp_path / f"one{SUFFIX}"))
    ran("use", str(tmp_path / f"one{SUFFIX}"), "--trust")
    ran("import", str(tmp_path / f"two{SUFFIX}"))
    path = tmp_path / f"two{SUFFIX}"
    manifest = dataclasses.replace(prompt.manifest, name="another prompt")
    write_prompt(path, dataclasses.replace(prompt, manifest=manifest))
    refused(UntrustedPrompt, "changed after it was signed", "import", str(path), "--trust")
    path.write_bytes(path.read_bytes()[:-4] + b"\0\0\0\0")
    refused(CorruptPrompt, "was changed", "import", str(path), "--trust")


def test_store_list_use_remove_gc(root: Path) -> None:
    reference = ran("import", str(ARTIFACT), "--trust").strip()
    ran("use", reference[7:17])
    assert routed(root) == {("**",): reference}
    listed = json.loads(ran("list", "--json"))["prompts"]
    assert [(row["prompt"], row["routes"]) for row in listed] == [(reference, [["**"]])]
    assert "example" in ran("list")
    assert json.loads(ran("gc", "--older-than", "0", "--json"))["removed"] == []
    refused(StoreError, "change the route first", "remove", reference)
    ran("use", str(ARTIFACT))
    dry = json.loads(ran("gc", "--older-than", "0", "--dry-run", "--json"))
    assert dry == {"removed": [reference[7:]], "dry_run": True}
    assert json.loads(ran("gc", "--older-than", "0", "--json"))["removed"] == [reference[7:]]
    assert list(Store().digests()) == []
    ran("remove", "example")
    assert routed(root) == {}
    refused(StoreError, "There is no prompt", "remove", "example")
    assert "No prompts yet" in ran("list")


def test_list_shows_a_bad_file(root: Path) -> None:
    (root / FOLDER).mkdir()
    (root / FOLDER / f"bad{SUFFIX}").write_bytes(b"bad")
    assert "PROBLEM" in ran("list")


def test_diff(root: Path, tmp_path: Path) -> None:
    prompt = read_prompt(ARTIFACT)
    other = tmp_path / f"other{SUFFIX}"
    manifest = dataclasses.replace(prompt.manifest, licence="MIT")
    write_prompt(other, dataclasses.replace(prompt, manifest=manifest))
    same = run("diff", str(ARTIFACT), str(ARTIFACT))
    assert (same.exit_code, same.stdout) == (0, "Their numbers are equal.\n")
    shown = run("diff", str(ARTIFACT), str(other))
    assert shown.exit_code == 1
    assert '"Apache-2.0"' in shown.stdout
    machine = json.loads(run("diff", str(ARTIFACT), str(other), "--json").stdout)
    assert machine["fields"] == {"licence": ["Apache-2.0", "MIT"]}


def test_export_and_import_again(root: Path, tmp_path: Path) -> None:
    ran("export", str(ARTIFACT), str(tmp_path / "copy"))
    assert (tmp_path / "copy").read_bytes() == ARTIFACT.read_bytes()
    ran("export", str(ARTIFACT), str(tmp_path / "peft"), "--peft", "--method", "PREFIX_TUNING")
    config = json.loads((tmp_path / "peft" / "adapter_config.json").read_text())
    assert config["peft_type"] == "PREFIX_TUNING"
    assert run("export", str(ARTIFACT), str(tmp_path / "x"), "--method", "CARTRIDGE").exit_code == 2


def test_verify_and_peft_import_with_the_model(
    root: Path, tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATTUNE_MODEL", str(tiny_model))
    foreign = run("verify", str(ARTIFACT), "--json")
    checks = {check["check"]: check for check in json.loads(foreign.stdout)["checks"]}
    assert foreign.exit_code == 1
    assert checks["format"]["good"]
    assert "different model" in checks["model"]["finding"]
    assert "PROBLEM" in run("verify", str(ARTIFACT)).stdout
    # the tiny model's own: 2 layers, 2 heads of 8 numbers
    prompt = read_prompt(ARTIFACT)
    model = dataclasses.replace(prompt.manifest.model, num_key_value_heads=2, head_dim=8)
    manifest = dataclasses.replace(prompt.manifest, model=model)
    numbers = prompt.embeddings.repeat(8, axis=1)
    write_prompt(tmp_path / "p", dataclasses.replace(prompt, manifest=manifest, embeddings=numbers))
    ran("export", str(tmp_path / "p"), str(tmp_path / "peft"), "--peft")
    reference = ran("import", "--peft", str(tmp_path / "peft"), "--name", "theirs").strip()
    assert "theirs" in ran("inspect", reference)
    assert "fits tiny" in ran("verify", reference)


@pytest.mark.slow
@pytest.mark.parametrize(("typed", "code"), [("y", 0), ("n", 2)])
def test_consent_is_asked_for_on_a_terminal(root: Path, typed: str, code: int) -> None:
    """Only a person at a terminal is asked."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-I", "-m", "attune", "prompt", "use", str(ARTIFACT)]
    with subprocess.Popen(command, stdin=theirs, stderr=subprocess.PIPE, text=True) as process:
        os.close(theirs)
        os.write(ours, f"{typed}\n".encode())
        _, shown = process.communicate(timeout=60)
    os.close(ours)
    assert "Trust this file? [y/N]" in shown
    assert process.returncode == code
    assert (root / FOLDER).exists() == (code == 0)
