"""attune.toml: what it may say, and the sentence for what it may not."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from prompts.configuration import (
    FILE_NAME,
    Configuration,
    Route,
    add_route,
    prompt_file,
    read_configuration,
    remove_routes,
    set_model,
)
from prompts.edit_lock import edit_lock
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


def test_edits_at_the_same_time_are_all_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever comes second waits, and sees what the first has written."""
    names = [f"p{number}" for number in range(8)]
    edits = [lambda name=name: add_route(tmp_path, [f"{name}/**"], name) for name in names]
    with ThreadPoolExecutor(len(edits) + 1) as threads:
        done = [threads.submit(edit) for edit in (*edits, lambda: set_model(tmp_path, "mine"))]
        [each.result() for each in done]
    written = read_configuration(tmp_path / FILE_NAME)
    assert sorted(route.prompt for route in written.routes) == names
    assert written.model_name == "mine"
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]  # no file for the lock
    monkeypatch.setattr("prompts.edit_lock.LOCK_SECONDS", 0.01)
    with edit_lock(tmp_path / FILE_NAME):
        for edit in (lambda: remove_routes(tmp_path, "p1"), lambda: set_model(tmp_path, None)):
            with pytest.raises(ConfigurationError, match="is being changed by another process"):
                edit()
    assert read_configuration(tmp_path / FILE_NAME) == written


def test_who_has_no_folder_edits_without_a_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path / "file" / "none"))
    set_model(tmp_path, "mine")
    assert read_configuration(tmp_path / FILE_NAME).model_name == "mine"
