"""attune.toml: what it may say, and the sentence for what it may not."""

from pathlib import Path

import pytest

from prompts.configuration import Configuration, Route, prompt_file, read_configuration
from prompts.errors import ConfigurationError
from prompts.file import SUFFIX

DIGEST = "ab" * 32


def test_routes_in_order(tmp_path: Path) -> None:
    """Order is kept, for the first route that takes a file wins."""
    path = tmp_path / "attune.toml"
    path.write_text(
        'registry = "s3://bucket/prompts"\n'
        '[[route]]\nglobs = ["docs/**"]\nprompt = "docs"\n'
        f'[[route]]\nglobs = ["*.py", "!a.py"]\nprompt = "sha256:{DIGEST}"\n'
    )
    configuration = read_configuration(path)
    docs, code = Route(("docs/**",), "docs"), Route(("*.py", "!a.py"), f"sha256:{DIGEST}")
    assert configuration == Configuration((docs, code), "s3://bucket/prompts")
    assert code.matches("x/b.py")
    assert not code.matches("x/a.py")
    assert prompt_file("docs", tmp_path, tmp_path / "store") == tmp_path / f"docs{SUFFIX}"
    stored = tmp_path / "store" / "ab" / f"{'ab' * 31}{SUFFIX}"
    assert prompt_file(code.prompt, tmp_path, tmp_path / "store") == stored


def test_no_file_says_nothing(tmp_path: Path) -> None:
    assert read_configuration(tmp_path / "attune.toml") == Configuration()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[route]", "is not TOML"),
        ("a = " + "[" * 5000 + "]" * 5000, "is not TOML"),
        ("a = " + "9" * 5000, "is not TOML"),
        ("\xff", "is not TOML"),
        ("routes = []", "routes is not a known key"),
        ("registry = 1", "registry must be text"),
        ("route = 1", "route must be a list"),
        ("[[route]]\nglobs = ['a']", "route.0.prompt is missing"),
        ("[[route]]\nglobs = ['a']\nprompt = 'p'\nx = 1", "route.0.x is not a known key"),
        ("[[route]]\nglobs = []\nprompt = 'p'", "route.0.globs must have at least 1 item"),
        ("[[route]]\nglobs = 'a'\nprompt = 'p'", "route.0.globs must be a list"),
        ("[[route]]\nglobs = ['']\nprompt = 'p'", "route.0.globs.0 must have at least 1 character"),
        ("[[route]]\nglobs = ['a']\nprompt = '../p'", "route.0.prompt must be a file name"),
        ("[[route]]\nglobs = ['a']\nprompt = 3", "route.0.prompt must be text"),
        ("a\\nb = 1", "is not TOML"),
        ('"a\\n" = 1', "is not a known key"),
        (f"{'k' * 9999} = 1", "is not a known key"),
        ("[[route]]\nglobs = ['a']\nprompt = 'p'\n" * 257, "must have at most 256 items"),
        ("registry = 2026-01-02", "registry must be text"),
        ("#" * 300_000, "larger than"),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str, words: str) -> None:
    """One sentence that names the file and the rule."""
    path = tmp_path / "attune.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigurationError) as caught:
        read_configuration(path)
    message = str(caught.value)
    assert words in message
    assert "\n" not in message
    assert len(message) < len(str(path)) + 300
    assert message.startswith(str(path))
    assert message.endswith("correct it or remove it.")
