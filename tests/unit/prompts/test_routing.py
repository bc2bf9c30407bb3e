"""attune.toml: what it may say, and the sentence for what it may not."""

from pathlib import Path

import pytest

from prompts.errors import ConfigurationError
from prompts.file import SUFFIX
from prompts.routing import Configuration, Route, prompt_file, read_configuration

DIGEST = "ab" * 32


def test_routes_in_order(tmp_path: Path) -> None:
    """Order is kept, for the first route that takes a file wins."""
    path = tmp_path / "attune.toml"
    path.write_text(
        'registry = "s3://bucket/prompts"\n'
        '[[route]]\nglobs = ["docs/**"]\nprompt = "docs"\n'
        f'[[route]]\nglobs = ["*.py", "!a.py"]\nprompt = "sha256:{DIGEST}"\n'
    )
    found = read_configuration(path)
    docs, code = Route(("docs/**",), "docs"), Route(("*.py", "!a.py"), f"sha256:{DIGEST}")
    assert found == Configuration((docs, code), "s3://bucket/prompts")
    assert code.takes("x/b.py")
    assert not code.takes("x/a.py")
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
        ("routes = []", "has no use for 'routes'"),
        ("registry = 1", "must give registry as text"),
        ("route = 1", "tables [[route]]"),
        ("[[route]]\nglobs = ['a']", "exactly globs and prompt"),
        ("[[route]]\nglobs = ['a']\nprompt = 'p'\nx = 1", "exactly globs and prompt"),
        ("[[route]]\nglobs = []\nprompt = 'p'", "must give globs"),
        ("[[route]]\nglobs = 'a'\nprompt = 'p'", "must give globs"),
        ("[[route]]\nglobs = ['']\nprompt = 'p'", "must give globs"),
        ("[[route]]\nglobs = ['a']\nprompt = '../p'", "must give prompt"),
        ("[[route]]\nglobs = ['a']\nprompt = 3", "must give prompt"),
        ("#" * 300_000, "is larger than"),
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
    assert message.startswith(str(path))
    assert message.endswith("correct it or remove it.")
