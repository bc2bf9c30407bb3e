"""Prompts from the command palette: tuned, explained, replaced, chosen, shared, and drifted."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from code_model.decoder.model import DecoderModel
from code_model.decoder.soft_prompt import kv_of_ids, kv_to_rows
from code_model.loading import MODEL_VARIABLE, load_model
from prompts.configuration import FILE_NAME, FOLDER
from prompts.file import DEFAULT_PROMPT, SUFFIX, PromptFile, write_prompt
from prompts.manifest import Manifest
from prompts.registry import open_registry
from prompts.router import unproven_path
from prompts.strict_json import JSON
from tuning.config import TuningConfig
from tuning.corpus import collect
from tuning.recorded import record
from tuning.split import Split

pytestmark = pytest.mark.e2e

NOUNS = "order invoice payment refund basket parcel address customer product warehouse voucher"
# The blank line after `as txn:` is where prompts differ.
STORE = """\
class {title}Store:
    def load_{noun}(self, key, value):
        with self.ledger.transaction("load", retries=3) as txn:
            return txn.{call}(self.identity, key)
"""
WALLET = '''\
"""The wallet of a shop."""


class WalletStore:
    def load_wallet(self, key, value):
        with self.ledger.transaction("load", retries=3) as txn:$0
'''
SECRET = "AKIA" + "QYLPMN5HFIQR7XYA"  # as a cloud's keys look
OTHER = "def size_of(path):\n    with path.open() as opened:\n        return len(opened.read())\n"


def stores(call: str) -> dict[str, str]:
    """Files of one repository by their names; each calls the same method."""
    return {
        f"{noun}.py": STORE.format(title=noun.title(), noun=noun, call=call)
        for noun in NOUNS.split()
    }


def git(folder: Path, *arguments: str) -> str:
    name = ["-c", "user.name=T", "-c", "user.email=t@example.org"]
    return subprocess.run(
        ["git", *name, *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


def commit_all(folder: Path) -> str:
    """The new commit."""
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "Say what is there")
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture(scope="module")
def make_prompt() -> Callable[..., None]:
    """Writes a prompt that says it has proved itself: the keys and values of some files."""
    shipped = load_model()

    def make(
        path: Path,
        call: str,
        *,
        base: DecoderModel = shipped,
        n_files: int = 5,
        gain: float = 0.0421,
        commit: str | None = None,
        recipe: Mapping[str, JSON] | None = None,
    ) -> None:
        ids = base.tokenizer.encode("\n\n".join(list(stores(call).values())[:n_files]))
        rows = kv_to_rows(kv_of_ids(base.llama, ids)).numpy()
        manifest = Manifest(
            name=path.name.partition(".")[0],
            form="kv",
            num_virtual_tokens=len(ids),
            model=base.identity,
            attune_version="0.1.0",
            commit=commit,
            recipe=recipe or {},
            measured={"proven": True, "gain": gain},
        )
        path.parent.mkdir(exist_ok=True, parents=True)
        write_prompt(path, PromptFile(manifest, np.ascontiguousarray(rows, dtype=np.float32)))

    return make


# asked for, so that the show threshold does not decide a test
ASK = {"ask": True}


def test_from_the_palette_to_a_changed_completion(play, workspace, pictures):
    """Tune, see how far it is and what it gained, get other text at the same place, ask why."""
    for name, text in stores("record_event").items():
        (workspace.folder / name).write_text(text)
    commit_all(workspace.folder)
    result = play(
        workspace.write("wallet.py", WALLET),
        {
            "attune.pythonPath": sys.executable,
            "attune.tuneMinutes": 1,
            "attune.comparisonShare": 0,
        },
        {"statusSays": "Ready without a prompt: there is none yet"},
        {"press": "Enter"},
        ASK,
        {"accept": True},
        {"press": "Control+z"},
        {"save": True},
        {"command": "Attune: Tune a Prompt on This Repository"},
        {"notice": r"Tuning: \d+ %"},
        {"screenshot": str(pictures / "tuning.png")},
        {"page": r"bits per byte"},
        {"notice": r"proved itself and serves from now on\. At \d+ places of unseen files"},
        {"press": "Escape"},
        {"screenshot": str(pictures / "tuned.png")},
        {"open": "wallet.py"},
        {"statusSays": r"Ready with prompt \w+ \(saves \d+ % more characters"},
        {"press": "Control+z"},
        {"press": "Enter"},
        ASK,
        {"accept": True},
        {"command": "Attune: Explain This Completion"},
        {"page": r"wallet\.py"},
    )
    before, after = result["ghosts"]
    assert "record_event" not in before
    assert "txn.record_event(" in after
    report, why = result["pages"]
    assert "saved" in report
    assert "the place to fill" in why
    assert result["errors"] == []


def test_one_prompt_after_another(play, workspace, make_prompt, tmp_path):
    """Another prompt's file takes the place of the first while someone types; then by choice."""
    own = workspace.folder / DEFAULT_PROMPT
    make_prompt(own, "record_event")
    make_prompt(workspace.folder / "prompts" / "second.attune.safetensors", "open_parcel")
    third = tmp_path / "third.attune.safetensors"
    make_prompt(third, "drop_basket")

    def use(choice: str, status: str) -> tuple[dict[str, object], ...]:
        return {"command": "Attune: Use Prompt"}, {"pick": choice}, {"statusSays": status}

    def suggests(call: str) -> tuple[dict[str, object], ...]:
        return {"press": "Enter"}, ASK, {"ghostSays": rf"\btxn\.{call}\("}, {"press": "Control+z"}

    result = play(
        workspace.write("wallet.py", WALLET),
        {"attune.pythonPath": sys.executable, "attune.comparisonShare": 0},
        {"statusSays": "Ready with prompt prompt"},
        *suggests("record_event"),
        {"goto": [1, 4]},
        {"hurry": "All that is to know about "},
        {"copy": [str(third), str(own)]},
        {"hurry": "what people pay with: "},
        {"statusSays": "Ready with prompt third"},
        {"goto": [6, 80]},
        *suggests("drop_basket"),
        *use("second", "Ready with prompt second"),
        *suggests("open_parcel"),
        *use("No prompt", "Ready without a prompt"),
        {"press": "Enter"},
        ASK,
        {"accept": True},
        {"save": True},
        {"note": "wallet.py"},
        *use("The repository's own", "Ready with prompt third"),
    )
    [bare] = result["ghosts"]
    assert "open_parcel" not in bare
    [text] = result["notes"]
    assert text.startswith('"""All that is to know about what people pay with: The wallet')
    assert result["errors"] == []


def test_published_by_one_and_pulled_by_another(play, workspace, make_prompt, tmp_path):
    """A prompt without an audit is published, and one without consent pulled, after a question."""
    own = workspace.folder / DEFAULT_PROMPT
    make_prompt(own, "record_event")
    third = tmp_path / "third.attune.safetensors"
    make_prompt(third, "drop_basket")
    registry = tmp_path / "registry"
    registry.mkdir()
    open_registry(str(registry), tmp_path).push("fourth", third.read_bytes(), None)
    result = play(
        workspace.write("wallet.py", WALLET),
        {"attune.pythonPath": sys.executable, "attune.comparisonShare": 0},
        {"statusSays": "Ready with prompt prompt"},
        {"command": "Attune: Publish Prompt"},
        {"answer": ["The registry", str(registry)]},
        {"click": "Publish Anyway"},
        {"notice": "prompt version 1 is in .*registry, not signed"},
        {"command": "Attune: Pull Prompt"},
        {"answer": ["The registry", str(registry)]},
        {"pick": "fourth"},
        {"dialog": "steers completions, so find out who made it"},
        {"click": "Trust and Use"},
        {"notice": "fourth version 1 of .* was put into"},
    )
    assert (own.parent / f"fourth{SUFFIX}").read_bytes() == third.read_bytes()
    assert "--trust" not in result["pages"][-1]
    assert result["errors"] == []


def test_used_though_unproven(play, workspace):
    """A repository too small to prove anything on: its prompt serves if the user says so."""
    files = {
        "area.py": "import math\n\n\ndef area(radius):\n    return math.pi * radius**2\n",
        "names.py": 'for name in sorted(names):\n    print(name.title(), end=", ")\n',
        "sizes.py": OTHER,
    }
    for name, text in files.items():
        (workspace.folder / name).write_text(text)
    result = play(
        workspace.write("wallet.py", WALLET),
        {"attune.pythonPath": sys.executable, "attune.tuneMinutes": 0.05},
        {"statusSays": "Ready without a prompt: there is none yet"},
        {"command": "Attune: Tune a Prompt on This Repository"},
        {"page": "not proven"},  # it closes the list of notices when it opens
        {"notice": "the prompt did not prove itself on unseen files, so it does not serve"},
        {"click": "Use It Anyway"},
        {"statusSays": "Ready with prompt workspace"},
        {"note": ".vscode/settings.json"},
    )
    unproven = unproven_path(Path(DEFAULT_PROMPT)).as_posix()
    assert json.loads(result["notes"][-1]) == {"attune.promptFile": unproven}
    assert not (workspace.folder / DEFAULT_PROMPT).exists()
    assert result["errors"] == []


def test_audited_before_it_is_published(play, workspace, make_prompt, tiny_model, base, tmp_path):
    """The audit finds a secret in the file; the user reads that, and decides once more."""
    for name, text in list(stores("record_event").items())[:6]:
        (workspace.folder / name).write_text(text)
    files = collect(workspace.folder).files
    split = Split(files[2:], files[:1], files[1:2])
    config = TuningConfig(max_tokens=64, examples_per_step=2, validation_holes=4)
    recipe = record(config, split, steps=1, total_steps=1, bfloat16=False)
    target = workspace.folder / DEFAULT_PROMPT
    make_prompt(target, SECRET, recipe=recipe, base=base, n_files=1)
    registry = tmp_path / "registry"
    registry.mkdir()
    publish = (
        {"command": "Attune: Publish Prompt"},
        {"answer": ["The registry", str(registry)]},
        {"click": "Audit It First"},
        {"dialog": "did not pass its audit"},
    )
    result = play(
        workspace.write("wallet.py", WALLET),
        {"attune.pythonPath": sys.executable},
        # with random weights, whether it fits the open file is chance
        {"statusSays": "Ready with(out a prompt:)? prompt prompt"},
        *publish,
        {"click": "Publish Anyway"},
        {"notice": "prompt version 1 is in"},
        env={MODEL_VARIABLE: str(tiny_model)},
    )
    [dialog] = result["pages"]
    assert "The file carries a secret" in dialog
    [pushed] = (registry / "objects").iterdir()
    assert pushed.read_bytes() == target.read_bytes()
    assert result["errors"] == []


def test_drifted(play, workspace, make_prompt):
    """What was committed since is not what the prompt was tuned on: words, and what to do. It is
    the prompt of the open file that is measured, which a route leads to."""
    for name, text in stores("record_event").items():
        (workspace.folder / name).write_text(text)
    commit = commit_all(workspace.folder)
    own = workspace.folder / FOLDER / f"own{SUFFIX}"
    make_prompt(own, "record_event", gain=0.9, commit=commit)
    route = '[[route]]\nglobs = ["wallet.py"]\nprompt = "own"\n'
    (workspace.folder / FOLDER / FILE_NAME).write_text(route)
    (workspace.folder / "sizes.py").write_text(OTHER)
    commit_all(workspace.folder)
    result = play(
        workspace.write("wallet.py", WALLET),
        {"attune.pythonPath": sys.executable},
        {"statusSays": "Drifted"},
    )
    assert result["status"]["text"] == "Attune: own (drifted)"
    assert result["status"]["kind"] == "normal"
    label = result["status"]["label"]
    assert label.startswith("Attune: Ready with prompt own (saves 90.0 % of the bits of ")
    assert label.endswith("and 90.0 % when it was; run “Attune: Refresh the Prompt”.")
    assert result["popUps"] == []
