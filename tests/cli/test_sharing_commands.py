"""Two people and a registry: sign, push, pull, trust."""

import dataclasses
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from attune.__main__ import app
from attune.consent import ConsentRequiredError
from attune.sharing_commands import AuditRequiredError
from code_model.decoder.model import DecoderModel
from code_model.decoder.soft_prompt import kv_of_ids, kv_to_rows
from prompts.configuration import FOLDER
from prompts.errors import PromptError, PromptWriteError, RegistryError, UntrustedPrompt
from prompts.file import DEFAULT_PROMPT, SUFFIX, PromptFile, read_prompt, write_prompt
from prompts.manifest import Manifest
from prompts.router import PromptRouter
from prompts.signature import signature_path
from prompts.user import HOME_VARIABLE
from tuning import audit as tuning_audit
from tuning.config import TuningConfig
from tuning.corpus import collect
from tuning.recorded import record
from tuning.split import Split


class Person:
    """Somebody with a home, a key and a clone."""

    def __init__(self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.home = tmp_path / name
        self.root = self.home / "clone"
        self.root.mkdir(parents=True)
        self.key = self.home / "key"
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(self.key)]
        subprocess.run(command, check=True)
        (self.home / "gitconfig").write_text(f"[user]\n\tsigningKey = {self.key}\n")
        self._monkeypatch = monkeypatch

    def run(self, *arguments: str) -> Result:
        self._monkeypatch.setenv(HOME_VARIABLE, str(self.home / "attune"))
        self._monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(self.home / "gitconfig"))
        self._monkeypatch.chdir(self.root)
        return CliRunner().invoke(app, ["prompt", *arguments])

    def ran(self, *arguments: str) -> str:
        result = self.run(*arguments)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == 0, result.stderr
        return result.stdout

    def refused(self, error: type[PromptError], words: str, *arguments: str) -> None:
        raised = self.run(*arguments).exception
        assert isinstance(raised, error), raised
        assert words in str(raised)


@pytest.fixture
def people(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path
) -> tuple[Person, Person]:
    monkeypatch.setenv("ATTUNE_MODEL", str(tiny_model))
    monkeypatch.setenv("COLUMNS", "200")
    return Person("alice", tmp_path, monkeypatch), Person("bob", tmp_path, monkeypatch)


def tuned(base: DecoderModel, path: Path, *, audited: bool = True, **changes: object) -> Path:
    """A proven prompt of the tiny model at `path`."""
    ids = list(range(30, 36))
    rows = kv_to_rows(kv_of_ids(base.llama, ids)).contiguous().numpy()
    manifest = Manifest(
        name="team", form="kv", num_virtual_tokens=len(ids), model=base.identity,
        measured={"proven": True, "gain": 0.03}, attune_version="0.1.0",
    )  # fmt: skip
    manifest = dataclasses.replace(manifest, **changes)  # type: ignore[arg-type]
    prompt = PromptFile(manifest, rows)
    if audited:
        audit = {"passed": True, "tensor_sha256": prompt.tensor_sha256}
        prompt = dataclasses.replace(prompt, manifest=dataclasses.replace(manifest, audit=audit))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_prompt(path, prompt)
    return path


def test_from_one_clone_to_another(
    base: DecoderModel, people: tuple[Person, Person], tmp_path: Path
) -> None:
    """Sign, push, pull, consent once; the next version needs no more questions."""
    alice, bob = people
    registry = str(tmp_path / "registry")
    tuned(base, alice.root / DEFAULT_PROMPT)
    alice.refused(RegistryError, "There is no registry", "push", "prompt")
    alice.ran("sign", "prompt")
    alice.ran("push", "prompt", "--registry", registry)
    (bob.root / FOLDER).mkdir()
    (bob.root / FOLDER / "attune.toml").write_text(f'registry = "{registry}"\n')
    bob.refused(ConsentRequiredError, "is signed with key SHA256:", "pull", "team")
    assert [path.name for path in (bob.root / FOLDER).iterdir()] == ["attune.toml"]
    bob.ran("pull", "team", "--trust")
    pulled = bob.root / FOLDER / f"team{SUFFIX}"
    assert pulled.read_bytes() == (alice.root / DEFAULT_PROMPT).read_bytes()
    assert signature_path(pulled).exists()
    serving = PromptRouter(bob.root, trusted=False)
    assert serving.choose("a.py").prompt is not None, "consent holds in untrusted workspaces too"
    tuned(base, alice.root / DEFAULT_PROMPT, commit="ab" * 20)
    alice.refused(
        UntrustedPrompt, "was changed after it was signed", "push", "prompt", "--registry", registry
    )
    alice.ran("sign", "prompt", "--key", str(alice.key))
    alice.ran("push", "prompt", "--registry", registry)
    assert json.loads(bob.ran("pull", "team", "--json"))["version"] == 2
    served = serving.choose("a.py").prompt
    assert served is not None
    assert served.manifest.commit == "ab" * 20
    listed = json.loads(bob.ran("versions", "--json"))["versions"]
    assert [(row["version"], row["signed"], row["gain"]) for row in listed] == [
        (2, True, 0.03),
        (1, True, 0.03),
    ]
    assert "team" in bob.ran("versions", "team")


def test_push_without_an_audit_is_refused(
    base: DecoderModel, people: tuple[Person, Person], tmp_path: Path
) -> None:
    """Also if the audit was of other numbers, or failed; --force takes it upon the user."""
    alice, bob = people
    to = ("--registry", str(tmp_path / "registry"))
    path = tuned(base, alice.root / DEFAULT_PROMPT, audited=False)
    alice.refused(AuditRequiredError, "has not passed an audit", "push", "prompt", *to)
    for audit in (
        {"passed": True, "tensor_sha256": "ab" * 32},
        {"passed": True},
        {"passed": False},
    ):
        tuned(base, path, audited=False, audit=audit)
        alice.refused(AuditRequiredError, "has not passed an audit", "push", "prompt", *to)
    assert not (tmp_path / "registry").exists()
    pushed = json.loads(alice.ran("push", "prompt", "--force", "--json", *to))
    assert (pushed["name"], pushed["version"], pushed["signed"]) == ("team", 1, False)
    bob.refused(ConsentRequiredError, "is not signed", "pull", "team", *to)
    bob.ran("pull", "team", "--trust", *to)
    bob.refused(RegistryError, "no version of clone", "pull", *to)
    tuned(base, bob.root / DEFAULT_PROMPT)
    bob.ran("pull", *to)
    assert read_prompt(bob.root / FOLDER / f"team{SUFFIX}").sha256 == read_prompt(path).sha256


def test_trust_lets_an_untrusted_workspace_be_served(
    base: DecoderModel, people: tuple[Person, Person]
) -> None:
    _, bob = people
    tuned(base, bob.root / DEFAULT_PROMPT)
    serving = PromptRouter(bob.root, trusted=False)
    bob.ran("inspect", "prompt")
    assert serving.choose("a.py").prompt is None
    bob.ran("trust", "prompt")
    assert serving.choose("a.py").prompt is not None


def test_sign_without_a_key(base: DecoderModel, people: tuple[Person, Person]) -> None:
    alice, _ = people
    tuned(base, alice.root / DEFAULT_PROMPT)
    (alice.home / "gitconfig").write_text("")
    alice.refused(PromptWriteError, "git has no SSH key", "sign", "prompt")


def test_pull_into_routes(
    base: DecoderModel, people: tuple[Person, Person], tmp_path: Path
) -> None:
    """A route that takes everything is the user's decision, and is not taken over."""
    alice, _ = people
    to = ("--registry", str(tmp_path / "registry"))
    tuned(base, alice.root / DEFAULT_PROMPT)
    alice.ran("push", "prompt", *to)
    alice.ran("use", "prompt")
    result = alice.run("pull", "team", "--trust", *to)
    assert "no route leads to team yet" in result.stderr
    alice.ran("use", "team", "--glob", "src/**")
    assert "no route" not in alice.run("pull", "team", *to).stderr


@pytest.mark.slow
def test_audit_opens_the_way_to_push(
    base: DecoderModel,
    people: tuple[Person, Person],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The result is in the manifest, and a signature from before goes."""
    run_audit, results = tuning_audit.audit, []

    def audit_once(*arguments: Any) -> Any:
        """Both commands show the same result, which takes seconds to compute."""
        if not results:
            results.append(run_audit(*arguments))
        return results[0]

    monkeypatch.setattr(tuning_audit, "audit", audit_once)
    alice, _ = people
    for n in range(9):
        (alice.root / f"file_{n}.py").write_text(f"def f_{n}(x):\n    return x + {n}\n" * (n + 2))
    files = collect(alice.root).files
    recipe = record(
        TuningConfig(max_tokens=64),
        Split(files[2:], files[:1], files[1:2]),
        steps=2,
        total_steps=2,
        bfloat16=False,
    )
    path = tuned(base, alice.root / DEFAULT_PROMPT, audited=False, recipe=recipe)
    alice.ran("sign", "prompt")
    audited = alice.run("audit", "--json")
    report = json.loads(audited.stdout)
    problems = report.pop("problems")
    assert read_prompt(path).manifest.audit == report
    assert report["passed"] == (problems == [])
    assert audited.exit_code == (0 if report["passed"] else 1)
    assert "its signature was removed" in audited.stderr
    assert not signature_path(path).exists()
    shown = alice.run("audit").stdout
    assert ("Passed." if report["passed"] else "Not passed.") in shown
    pushed = alice.run("push", "prompt", "--registry", str(tmp_path / "registry"))
    assert (pushed.exit_code == 0) == report["passed"]
