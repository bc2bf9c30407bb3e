"""Which prompt serves a document, and that what is on disk counts at once."""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from prompts.configuration import FILE_NAME, stored_file
from prompts.errors import IncompatiblePrompt
from prompts.file import DEFAULT_PROMPT, SUFFIX, PromptFile, read_prompt, write_prompt
from prompts.manifest import ModelIdentity
from prompts.router import NO_PROMPT, UNPROVEN, PromptRouter, unproven_path
from prompts.user import store_folder, user_folder

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, kv_prompt: PromptFile) -> Write:
    """Write a prompt `NAME` into the repository's folder, with changes of its manifest."""
    (tmp_path / ".attune").mkdir()

    def written(name: str, path: Path | None = None, **changes: object) -> Path:
        path = path or tmp_path / ".attune" / f"{name}{SUFFIX}"
        path.parent.mkdir(parents=True, exist_ok=True)
        manifest = dataclasses.replace(kv_prompt.manifest, name=name, **changes)  # type: ignore[arg-type]
        write_prompt(path, dataclasses.replace(kv_prompt, manifest=manifest))
        return path

    return written


def route(folder: Path, *routes: tuple[str, list[str]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    text = "".join(f"[[route]]\nglobs = {globs}\nprompt = {name!r}\n" for name, globs in routes)
    (folder / FILE_NAME).write_text(text)


def chosen(prompts: PromptRouter, path: str | None, language: str | None = None) -> str | None:
    prompt = prompts.choose(path, language).prompt
    return None if prompt is None else prompt.manifest.name


def test_without_routes_the_proven_prompt_serves_all(tmp_path: Path, write: Write) -> None:
    prompts = PromptRouter(tmp_path)
    assert prompts.choose("a.py").reason == NO_PROMPT
    write("prompt")
    assert chosen(prompts, "a.py") == chosen(prompts, None) == "prompt"
    write("prompt", measured={})
    assert prompts.choose("a.py").reason == UNPROVEN
    (tmp_path / DEFAULT_PROMPT).unlink()
    assert prompts.choose("a.py").reason == NO_PROMPT
    write("x", unproven_path(tmp_path / DEFAULT_PROMPT))
    assert prompts.choose("a.py").reason == UNPROVEN


def test_routes_by_path(tmp_path: Path, write: Write) -> None:
    """Organisation, repository and directory: the first route that takes the file wins."""
    for name in ("payments", "repository"):
        write(name, measured={})
    organisation = write("organisation", tmp_path / "o")
    digest = read_prompt(organisation).sha256
    assert digest is not None
    write("organisation", stored_file(digest, store_folder()))
    route(tmp_path / ".attune", ("payments", ["pay/**"]), ("repository", ["*.py"]))
    route(user_folder(), (f"sha256:{digest}", ["**"]))
    prompts = PromptRouter(tmp_path)
    assert chosen(prompts, "pay/a.py") == "payments"
    assert chosen(prompts, "a.py") == "repository"
    assert chosen(prompts, "README.md") == "organisation"
    assert chosen(prompts, None) == "payments"


def test_a_prompt_that_is_not_for_the_file_is_passed_over(tmp_path: Path, write: Write) -> None:
    """By the globs and the languages of its own manifest."""
    write("scripts", languages=("shellscript",))
    write("source", globs=("src/**",), languages=())
    route(tmp_path / ".attune", ("scripts", ["**"]), ("source", ["**"]))
    prompts = PromptRouter(tmp_path)
    assert chosen(prompts, "src/a.py", "python") == "source"
    assert chosen(prompts, "src/a.sh", "shellscript") == "scripts"
    nobody = prompts.choose("b.py", "python")
    assert (nobody.prompt, nobody.problems) == (None, ())
    assert chosen(prompts, None) == "scripts"
    assert nobody.reason == "prompt source is not for this file"


def test_a_prompt_that_does_not_fit_the_file_is_passed_over(tmp_path: Path, write: Write) -> None:
    """For the next one; what a person named for everything is not asked about."""
    first = write("first")
    write("second")
    route(tmp_path / ".attune", ("first", ["**"]), ("second", ["**"]))
    misfits = {"first": "it does not fit"}

    def asked(named: Path | None = None) -> tuple[str | None, str]:
        prompts = PromptRouter(tmp_path, named)
        choice = prompts.choose("a.py", misfit=lambda prompt: misfits.get(prompt.manifest.name))
        return choice.prompt and choice.prompt.manifest.name, choice.reason

    assert asked() == ("second", "")
    misfits["second"] = "nor does this"
    assert asked()[0] is None
    assert asked(first) == ("first", "")


def test_a_missing_routed_file_is_a_problem_and_the_next_serves(
    tmp_path: Path, write: Write
) -> None:
    write("repository")
    route(tmp_path / ".attune", ("absent", ["**"]), ("repository", ["**"]))
    choice = PromptRouter(tmp_path).choose("a.py")
    assert choice.prompt is not None
    file = tmp_path / ".attune" / "absent.attune.safetensors"
    assert choice.problems == (
        f"The prompt file {file} does not exist; fetch it, or name another one.",
    )


def test_a_bad_file_leaves_the_old_one(tmp_path: Path, write: Write) -> None:
    """Corrupt or of another model: what was read before goes on, and the problem is named."""
    path = write("prompt")
    prompts = PromptRouter(tmp_path)
    good = prompts.choose("a.py").prompt
    assert good is not None
    path.write_bytes(path.read_bytes()[:-1])
    for _ in range(2):
        choice = prompts.choose("a.py")
        assert choice.prompt is good
        assert len(choice.problems) == 1
    write("prompt", commit=None)
    choice = prompts.choose("a.py")
    assert choice.problems == ()
    assert choice.prompt is not None
    assert choice.prompt.manifest.commit is None


def test_a_refused_prompt_leaves_the_old_one(tmp_path: Path, write: Write) -> None:
    def accept(prompt: PromptFile) -> None:
        if prompt.manifest.repository == "other":
            raise IncompatiblePrompt("It is another's.")

    write("prompt")
    prompts = PromptRouter(tmp_path, accept=accept)
    good = prompts.choose("a.py").prompt
    write("prompt", repository="other")
    assert prompts.choose("a.py").prompt is good
    assert prompts.refresh().problems == ("It is another's.",)


def test_a_prompt_of_another_model_is_refused_by_its_header(
    tmp_path: Path, write: Write, kv_prompt: PromptFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before its tensor is allocated."""
    import prompts.file as file

    write("prompt")
    other = dataclasses.replace(kv_prompt.manifest.model, tokenizer_fingerprint="ff" * 32)
    with monkeypatch.context() as patch:
        patch.setattr(file, "_tensor", None)
        choice = PromptRouter(tmp_path, model=other).choose("a.py")
    assert choice.prompt is None
    assert "different tokenizer" in choice.problems[0]
    own = PromptRouter(tmp_path, model=kv_prompt.manifest.model)
    assert own.choose("a.py").prompt is not None


def test_bad_routes_leave_the_old_ones(tmp_path: Path, write: Write) -> None:
    write("docs")
    route(tmp_path / ".attune", ("docs", ["docs/**"]))
    prompts = PromptRouter(tmp_path)
    assert chosen(prompts, "docs/a.py") == "docs"
    (tmp_path / ".attune" / FILE_NAME).write_text("[[route]")
    choice = prompts.choose("docs/a.py")
    assert choice.prompt is not None
    assert "is not TOML" in choice.problems[0]
    (tmp_path / ".attune" / FILE_NAME).unlink()
    assert prompts.choose("docs/a.py").reason == NO_PROMPT


def test_a_file_that_changes_while_it_is_read(
    tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a file is never served nor complained about; when the writer is done, it counts."""
    import prompts.router as router

    path = write("prompt")
    whole = path.read_bytes()
    path.write_bytes(whole[:100])

    def read_while_writing(path: Path, model: ModelIdentity | None) -> PromptFile:
        try:
            return read_prompt(path, model)
        finally:
            if path.stat().st_size < len(whole):
                path.write_bytes(whole)

    monkeypatch.setattr(router, "read_prompt", read_while_writing)
    choice = PromptRouter(tmp_path).choose("a.py")
    assert choice.problems == ()
    assert choice.prompt is not None


def test_a_named_file_serves_everything(tmp_path: Path, write: Write) -> None:
    """Over all routes, and relative to the root."""
    write("named", measured={}, languages=())
    route(tmp_path / ".attune", ("absent", ["**"]))
    prompts = PromptRouter(tmp_path, Path(".attune") / f"named{SUFFIX}")
    assert chosen(prompts, "any/where.txt") == "named"
    assert prompts.folders() == {tmp_path / ".attune", user_folder()}
    elsewhere = write("named", tmp_path / "elsewhere" / f"named{SUFFIX}")
    assert PromptRouter(tmp_path, elsewhere).folders() == {
        elsewhere.parent,
        tmp_path / ".attune",
        user_folder(),
    }
    assert PromptRouter(None).folders() == {user_folder()}
    assert PromptRouter(None).choose("a.py").reason == NO_PROMPT


def test_the_users_own_routes_name_files_in_the_users_folder(tmp_path: Path, write: Write) -> None:
    """They hold for their paths only; a broken file of routes is a problem."""
    write("mine", user_folder() / f"mine{SUFFIX}")
    route(user_folder(), ("mine", ["docs/**"]))
    prompts = PromptRouter(tmp_path)
    assert chosen(prompts, "docs/a.py") == "mine"
    assert chosen(prompts, "a.py") is None
    (user_folder() / FILE_NAME).write_text("[[route]")
    assert "is not TOML" in PromptRouter(tmp_path).choose("docs/a.py").problems[0]


def test_the_name_of_a_prompt_without_proof() -> None:
    path = unproven_path(Path("a") / f"team.b{SUFFIX}")
    assert path == Path("a/team.b.unproven.attune.safetensors")


def test_a_file_of_another_time_counts(tmp_path: Path, write: Write) -> None:
    """A clock that was set back or forward: whether a file is newer does not matter."""
    prompts = PromptRouter(tmp_path)
    for number, seconds in enumerate((4_000_000_000, 0, 1_000_000_000)):
        path = write(f"p{number}", tmp_path / DEFAULT_PROMPT)
        os.utime(path, (seconds, seconds))
        assert chosen(prompts, "a.py") == f"p{number}"


def test_stamp_differs_when_a_file_changed(tmp_path: Path, write: Write) -> None:
    """Before anything is read again, so that answers kept for the old files are not given."""
    prompts = PromptRouter(tmp_path)
    prompts.choose("a.py")
    stamps = [prompts.stamp()]
    path = write("prompt")
    stamps.append(prompts.stamp())
    route(tmp_path / ".attune", ("prompt", ["**"]))
    stamps.append(prompts.stamp())
    path.unlink()
    stamps.append(prompts.stamp())
    assert prompts.stamp() == stamps[-1]
    assert len(set(stamps)) == 4
