"""Secrets of a tuned repository reach neither examples, prompt, logs nor report."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from code_context.secrets import detect_secret
from code_context.source_files import ExcludedFile, read_source
from prompts.file import read_prompt
from tuning.corpus import collect

pytestmark = pytest.mark.slow

SECRETS = {
    "aws.py": "AKIA" + "QYLPMN5HHHFPZAM2",
    "github.py": "ghp_" + "wWPw5k4aXcaT4fNP0UcnZwJUVFk6LO0pINUx",
    "slack.py": "xoxb-" + "263594206564-2343594206574-FGqddMF8t08v8N7Oq4i57vs1",
    "stripe.py": "sk_live_" + "ReTllpYQYfIZu2Jnf2lAPFjD",
    "key.py": "-----BEGIN RSA PRIVATE " + "KEY-----",
}
"""Of each kind one, in two parts, so that no scanner finds them here."""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    (root / ".git").mkdir(parents=True)
    for n in range(8):
        lines = (f"def f_{n}_{m}(x_{m}):\n    return x_{m} + {n}\n\n" for m in range(4 + n))
        (root / f"file_{n}.py").write_text("\n".join(lines))
    for name, secret in SECRETS.items():
        assert detect_secret(f'TOKEN = "{secret}"')
        lines = (f"def g_{m}(y_{m}):\n    return y_{m} * {m}\n\n" for m in range(9))
        (root / name).write_text("\n".join((f'TOKEN = "{secret}"\n', *lines)))
    (root / ".env").write_text("".join(f"{name}={each}\n" for name, each in SECRETS.items()))
    return root


def test_files_with_secrets_are_in_no_part_of_the_corpus(repository: Path) -> None:
    corpus = collect(repository)
    assert {file.path for file in corpus.files} == {f"file_{n}.py" for n in range(8)}
    assert all(isinstance(read_source(repository, name), ExcludedFile) for name in SECRETS)
    assert sum(corpus.left_out.values()) == len(SECRETS)


def test_a_run_writes_none(repository: Path, tiny_model: Path, tmp_path: Path) -> None:
    """Whatever it writes: the prompt, the report, the log, the page, caches and the index."""
    home, cache = tmp_path / "home", tmp_path / "cache"
    environment = {
        **os.environ,
        "ATTUNE_MODEL": str(tiny_model),
        "ATTUNE_HOME": str(home),
        "XDG_CACHE_HOME": str(cache),
    }

    def attune(*arguments: str) -> bytes:
        command = [sys.executable, "-I", "-m", "attune", "--verbose", *arguments]
        done = subprocess.run(command, capture_output=True, env=environment, check=False)
        assert done.returncode in (0, 1), done.stderr
        return done.stdout + done.stderr

    shown = attune("tune", str(repository), "--minutes", "0.05", "--json")
    written = Path(json.loads(shown[shown.index(b"{") : shown.rindex(b"}") + 1])["written"])
    assert read_prompt(written).manifest.num_virtual_tokens > 0
    page = tmp_path / "page.html"
    shown += attune("report", str(written), "--html", str(page))
    shown += attune("complete", f"{repository / 'file_1.py'}:2:5", "--prompt", str(written))
    kept = [path for folder in (home, cache, repository / ".attune") for path in folder.rglob("*")]
    contents = [path.read_bytes() for path in (*kept, page) if path.is_file()]
    assert len(contents) >= 3
    for name, secret in SECRETS.items():
        for content in (shown, *contents):
            assert secret.encode() not in content, name
