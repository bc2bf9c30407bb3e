"""Each repository's documents are completed by its own model, and no model is loaded twice."""

import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from code_model import memory
from code_model.loading import MODEL_VARIABLE, load_model
from code_model.model_addition import add_model, verify_files
from code_model.model_choice import ModelChoice
from code_model.model_resolution import choice_stamp, resolve_model
from code_model.out_of_memory import OutOfModelMemoryError
from code_model.user_models import models_file, set_default
from completion import model_pool
from completion.completion_model import Computation
from completion.model_input import CompletionPoint
from completion.model_pool import ModelPool, ModelResolution
from completion.pipeline import complete
from completion.prompted_model import PromptedModel
from completion.request import CompletionRequest
from completion.status import Status, StatusListener
from prompts.configuration import FOLDER, set_model

TEXT = "import os\n\n\ndef main() -> int:\n    path = os."


@pytest.fixture(autouse=True)
def _no_choice_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable would choose for every repository."""
    monkeypatch.delenv(MODEL_VARIABLE, raising=False)


def request(pool: "Pool", number: int) -> CompletionRequest:
    return CompletionRequest(TEXT, "a.txt", len(TEXT), root=pool.roots[number])


class Pool:
    """A pool over three repositories, with what it loaded and reported."""

    def __init__(self, folder: Path) -> None:
        self.roots = [folder / name for name in ("one", "two", "three")]
        self.loaded: list[str] = []
        self.statuses: list[Status] = []
        self.seconds = 0.0

    def open(self, named: str | None = None) -> ModelPool:
        def open_model(
            choice: ModelChoice, root: Path | None, report: StatusListener
        ) -> PromptedModel:
            self.loaded.append(choice.path.name)
            return PromptedModel(load_model(choice), root, report)

        resolution = ModelResolution(
            partial(resolve_model, named), choice_stamp, lambda root: set()
        )
        self.model = ModelPool(
            resolution, open_model, self.roots, self.statuses.append, lambda: self.seconds
        )
        return self.model

    def choose(self, number: int, name: str) -> None:
        set_model(self.roots[number] / FOLDER, name)

    def completed(self, number: int) -> str:
        result = self.model.complete(request(self, number), Computation())
        assert result.reason in (None, "no_engine")
        return result.text

    @property
    def status(self) -> Status:
        return self.statuses[-1]


@pytest.fixture
def pool(tmp_path: Path, tiny_model: Path, other_model: Path) -> Pool:
    for folder in (tiny_model, other_model):
        add_model(folder.name, folder, str(folder))
    set_default("tiny")
    return Pool(tmp_path)


@pytest.fixture(scope="module")
def answer(tiny_model: Path, other_model: Path) -> Callable[[str], str]:
    """What each model says, asked directly; they must differ for these tests to see a mix-up."""
    point = CompletionPoint.parse(TEXT, "a.txt", len(TEXT))
    answers = {
        folder.name: complete(load_model(folder).open(), point).text
        for folder in (tiny_model, other_model)
    }
    assert len({*answers.values(), ""}) == 3
    return answers.__getitem__


def test_each_repository_has_its_own_model(pool: Pool, answer: Callable[[str], str]) -> None:
    pool.choose(1, "other")
    pool.open()
    assert (pool.loaded, pool.status.model) == (["tiny"], "tiny")  # the other when it is needed
    assert pool.completed(1) == answer("other")
    assert (pool.loaded, pool.status.model) == (["tiny", "other"], "other")
    assert pool.completed(0) == pool.completed(2) == answer("tiny")
    assert (pool.loaded, pool.status.model) == (["tiny", "other"], "tiny")


def test_a_new_choice_counts_for_the_next_request(pool: Pool, answer: Callable[[str], str]) -> None:
    model = pool.open()
    assert pool.completed(0) == answer("tiny")
    before, elsewhere = model.version(request(pool, 0)), model.version(request(pool, 1))
    pool.choose(0, "other")
    assert model.version(request(pool, 1)) == elsewhere
    assert (
        model.version(request(pool, 0)) != before
    )  # so that no cached result of the other model is served
    assert pool.completed(0) == answer("other")
    assert pool.status.model == "other"
    assert pool.completed(1) == answer("tiny")
    set_default("other")
    model.refresh()
    assert pool.completed(1) == answer("other")
    assert pool.loaded == ["tiny", "other"]
    set_default("tiny")
    assert pool.completed(1) == answer("tiny")
    assert pool.loaded == ["tiny", "other", "tiny"]  # nothing had chosen it: it was dropped


def test_a_model_that_was_added_again_with_other_files_is_loaded_again(
    pool: Pool, tmp_path: Path, tiny_model: Path, other_model: Path, answer: Callable[[str], str]
) -> None:
    mine = Path(shutil.copytree(tiny_model, tmp_path / "mine"))
    added = add_model("mine", mine, "s")
    set_default("mine")
    pool.open()
    assert pool.completed(0) == answer("tiny")
    os.utime(mine / "config.json", ns=(1, 1))
    assert verify_files("mine", added) == ()  # only a time has changed
    assert pool.completed(0) == answer("tiny")
    assert pool.loaded == ["mine"]
    shutil.copytree(other_model, mine, dirs_exist_ok=True)
    add_model("mine", mine, "s")
    assert pool.completed(0) == answer("other")
    assert pool.loaded == ["mine", "mine"]


def test_a_model_that_fails_takes_no_other_with_it(
    pool: Pool, tmp_path: Path, answer: Callable[[str], str], other_model: Path
) -> None:
    pool.choose(1, "broken")
    models_file().write_text(models_file().read_text() + f"[model.broken]\npath = '{tmp_path}'\n")
    pool.open()
    for _ in range(2):
        assert pool.completed(1) == ""
    assert [status.kind for status in pool.statuses] == ["Normal", "Normal", "Error"]
    assert "config.json is missing" in pool.status.message
    assert pool.completed(0) == answer("tiny")
    assert pool.status.kind == "Normal"
    pool.choose(1, "other")
    assert pool.completed(1) == answer("other")


def test_a_model_without_memory_for_its_session_is_one_sentence(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object, **options: object) -> None:
        raise OutOfModelMemoryError("There is no memory for a cache; use a smaller model.")

    monkeypatch.setattr("tests.unit.completion.test_model_pool.PromptedModel", full)
    pool.open()
    assert pool.status.kind == "Error"
    assert pool.status.message == "There is no memory for a cache; use a smaller model."


def test_a_model_that_found_no_memory_is_tried_again(
    pool: Pool, answer: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program may have ended; until then there is one notice, and no work per request."""
    with monkeypatch.context() as patch:
        patch.setattr(memory, "free_bytes", lambda: 0)
        pool.open()
        assert "of memory and 0 MB are free" in pool.status.message
        failed = list(pool.statuses)
        assert pool.completed(0) == ""
        assert pool.loaded == ["tiny"]
        pool.seconds += model_pool.RETRY_SECONDS
        assert pool.completed(0) == ""
        assert pool.loaded == ["tiny", "tiny"]
        assert pool.statuses == failed
    assert pool.completed(0) == ""  # not before it is time again
    pool.seconds += model_pool.RETRY_SECONDS
    assert pool.completed(0) == answer("tiny")
    assert pool.status.kind == "Normal"


def test_repositories_of_which_nothing_is_open_are_forgotten(
    pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_pool, "MAX_REPOSITORIES", 2)
    pool.open()
    roots = [tmp_path / f"outside {number}" for number in range(4)]
    for root in roots:
        pool.model.complete(CompletionRequest(TEXT, "a.txt", 9, root=root), Computation())
    assert list(pool.model._routes) == [*pool.roots, *roots[-2:]]
    assert pool.completed(2)  # a folder of the workspace stays


def test_an_unreadable_list_keeps_the_models_that_serve(
    pool: Pool, answer: Callable[[str], str]
) -> None:
    pool.open()
    models_file().write_text("[model")
    assert pool.completed(0) == answer("tiny")
    assert pool.status.kind == "Warning"
    assert "models.toml is not TOML" in pool.status.message


def test_a_name_that_the_user_has_not_added_is_a_notice(
    pool: Pool, answer: Callable[[str], str]
) -> None:
    pool.choose(0, "theirs")
    pool.open()
    assert (pool.status.kind, pool.status.model) == ("Warning", "tiny")
    assert "`attune model add PATH --name theirs`" in pool.status.message
    assert pool.completed(0) == answer("tiny")


def test_what_the_settings_name_comes_first(pool: Pool, answer: Callable[[str], str]) -> None:
    pool.choose(0, "tiny")
    pool.open("other")
    assert pool.completed(0) == answer("other")
    pool.open("none")
    assert pool.completed(0) == ""
    assert "There is no model 'none'" in pool.status.message
