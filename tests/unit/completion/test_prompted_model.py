"""Which prompt serves a document, its status, and that changed files count at once."""

import dataclasses
import inspect
import stringprep
from pathlib import Path

import pytest

from code_model.decoder.model import DecoderModel
from code_model.decoder.session import DecoderSession
from code_model.loading import load_model
from code_model.out_of_memory import OutOfModelMemoryError
from completion import prompt_fit, prompted_model
from completion.completion_model import Computation
from completion.model_input import CompletionPoint
from completion.pipeline import complete
from completion.prompted_model import PromptedModel
from completion.request import CompletionRequest
from completion.session_pool import MAX_SESSIONS, SessionPool
from completion.status import Status
from prompts.file import DEFAULT_PROMPT, PromptFile, read_prompt, write_prompt
from tests.unit.completion.prompt_files import WITHOUT_PROMPT, prompt_of
from tuning import controls

TEXT = "import os\n\n\ndef main() -> int:\n    path = os."
REQUEST = CompletionRequest(TEXT, "a.txt", len(TEXT))
SAVES_4 = "saves 4.2 % of the bits of unseen files"


@pytest.fixture
def default(tmp_path: Path) -> Path:
    """Where the repository keeps its prompt."""
    path = tmp_path / DEFAULT_PROMPT
    path.parent.mkdir()
    return path


@pytest.fixture
def statuses() -> list[Status]:
    return []


def completed(model: PromptedModel, request: CompletionRequest = REQUEST) -> str:
    return model.complete(request, Computation()).text


def expected(base: DecoderModel, prompt: PromptFile | None, path: str = "a.txt") -> str:
    """The text in a session of its own."""
    return complete(base.open(prompt), CompletionPoint.parse(TEXT, path, len(TEXT))).text


def served_by(model: PromptedModel, request: CompletionRequest = REQUEST) -> str | None:
    """The prompt that serves a document."""
    return model.complete(request, Computation()).prompt


@pytest.fixture
def fit_gain(monkeypatch: pytest.MonkeyPatch):
    """Replaces the measurement of the prompt-fit check; holds its gain and its calls."""

    class FitGain:
        value: float | None = -0.04
        calls = 0

        def __call__(self, *arguments: object) -> float | None:
            self.calls += 1
            return self.value

    gain = FitGain()
    monkeypatch.setattr(prompt_fit, "gain_on", gain)
    return gain


def test_without_a_prompt(base, tmp_path, statuses):
    model = PromptedModel(base, tmp_path, statuses.append)
    assert statuses == [Status("Normal", False, WITHOUT_PROMPT)]
    assert completed(model) == expected(base, None)
    assert len(statuses) == 1


def test_without_a_folder(base, statuses):
    PromptedModel(base, None, statuses.append)
    assert statuses == [Status("Normal", False, WITHOUT_PROMPT)]


def test_the_repositorys_proven_prompt_serves(base, tmp_path, default, statuses):
    prompt = prompt_of(base)
    name = f"space@{write_prompt(default, prompt)[:8]}"
    model = PromptedModel(base, tmp_path, statuses.append)
    message = f"Ready with prompt space ({SAVES_4})"
    assert statuses == [Status("Normal", False, message, name)]
    assert completed(model) == expected(base, prompt) != expected(base, None)


def test_each_repository_has_its_own_prompt(base, tmp_path, default, statuses):
    """A request names its repository; without one it belongs to the first."""
    first, second = tmp_path, tmp_path / "second"
    other = second / DEFAULT_PROMPT
    other.parent.mkdir(parents=True)
    write_prompt(default, prompt_of(base))
    model = PromptedModel(base, first, statuses.append)
    in_second = dataclasses.replace(REQUEST, root=second)
    assert served_by(model) == served_by(model, dataclasses.replace(REQUEST, root=first))
    assert served_by(model).startswith("space@")
    version = model.version(REQUEST)
    assert served_by(model, in_second) is None
    assert model.version(REQUEST) == version != model.version(in_second)
    assert other.parent in model.folders()
    write_prompt(other, prompt_of(base))
    model.refresh()
    assert served_by(model, in_second).startswith("space@")


@pytest.mark.parametrize("path", ["manage", "SConstruct", "BUILD.unknown", "nb.ipynb"])
def test_the_editors_language_decides_where_the_name_does_not(base, statuses, path):
    """In a comment nothing is suggested automatically, and the syntax is known to the filters."""
    model = PromptedModel(base, None, statuses.append)
    text = "# a comment "
    request = CompletionRequest(text, path, len(text), language_id="python")
    assert model.complete(request, Computation()).reason == "in_comment"
    unknown = dataclasses.replace(request, language_id="")
    assert model.complete(unknown, Computation()).reason != "in_comment"
    by_name = dataclasses.replace(unknown, path="a.py", language_id="plaintext")
    assert model.complete(by_name, Computation()).reason == "in_comment"


def test_gain_may_be_absent(base, tmp_path, default, statuses):
    write_prompt(default, prompt_of(base, measured={"proven": True}))
    PromptedModel(base, tmp_path, statuses.append)
    assert statuses[0].message == "Ready with prompt space"


@pytest.mark.parametrize(
    ("runtime", "said"),
    [
        (
            {"engine": "llama.cpp", "precision": "float16", "quantisation": "Q4_1"},
            ", measured by llama.cpp in float16 (Q4_1); here it is decoder in float32",
        ),
        ({"engine": "decoder", "precision": "float32", "quantisation": None}, ""),
        ({"engine": "x\n" * 999, "precision": "float32", "quantisation": None}, ""),
        ("decoder", ""),
    ],
)
def test_a_gain_that_another_engine_measured_says_so(
    base, tmp_path, default, statuses, runtime, said
):
    """The prompt serves: the weights are the same, the numbers are nearly."""
    measured = {"proven": True, "gain": 0.0421, "runtime": runtime}
    prompt = prompt_of(base, measured=measured)
    write_prompt(default, prompt)
    model = PromptedModel(base, tmp_path, statuses.append)
    message = f"Ready with prompt space ({SAVES_4}{said})"
    assert [(status.kind, status.message) for status in statuses] == [("Normal", message)]
    assert completed(model) == expected(base, prompt)


def test_an_unproven_prompt_serves_only_when_named(base, tmp_path, default, statuses):
    prompt = prompt_of(base, measured={"gain": 0.01})
    write_prompt(default, prompt)
    model = PromptedModel(base, tmp_path, statuses.append)
    assert "is not proven" in statuses[0].message
    assert completed(model) == expected(base, None)
    model = PromptedModel(base, tmp_path, statuses.append, named=Path(DEFAULT_PROMPT))
    assert (
        statuses[1].message == "Ready with prompt space (saves 1.0 % of the bits of unseen files)"
    )
    assert completed(model) == expected(base, prompt)


def test_a_missing_named_prompt_is_reported(base, tmp_path, statuses):
    missing = tmp_path / "none.attune.safetensors"
    model = PromptedModel(base, None, statuses.append, named=missing)
    completed(model)
    assert [status.kind for status in statuses] == ["Warning"]
    assert "none.attune.safetensors does not exist" in statuses[0].message


def test_a_corrupt_prompt_is_reported_once(base, tmp_path, default, statuses):
    default.write_bytes(b"no prompt")
    model = PromptedModel(base, tmp_path, statuses.append)
    assert completed(model) == completed(model) == expected(base, None)
    assert [status.kind for status in statuses] == ["Warning"]


def test_a_prompt_of_another_model_is_reported(base, tmp_path, default, statuses):
    other = dataclasses.replace(base.identity, model_fingerprint="0" * 64)
    write_prompt(default, prompt_of(base, model=other))
    model = PromptedModel(base, tmp_path, statuses.append)
    assert completed(model) == expected(base, None)
    assert statuses[0].kind == "Warning"
    assert "different model" in statuses[0].message


def test_a_changed_file_counts_from_the_next_request(base, tmp_path, default, statuses):
    model = PromptedModel(base, tmp_path, statuses.append)
    prompt = prompt_of(base)
    write_prompt(default, prompt)
    assert completed(model) == expected(base, prompt)
    default.unlink()
    assert completed(model) == expected(base, None)
    messages = [status.message.partition(" (")[0] for status in statuses]
    assert messages == [WITHOUT_PROMPT, "Ready with prompt space", WITHOUT_PROMPT]


def test_after_a_bad_change_the_old_prompt_serves(base, tmp_path, default, statuses):
    prompt = prompt_of(base)
    write_prompt(default, prompt)
    model = PromptedModel(base, tmp_path, statuses.append)
    default.write_bytes(default.read_bytes()[:-1])
    assert completed(model) == completed(model) == expected(base, prompt)
    assert [status.kind for status in statuses] == ["Normal", "Warning"]
    assert statuses[1].message.endswith(f"Ready with prompt space ({SAVES_4}).")


def test_routes_choose_the_prompt_of_each_document(base, tmp_path, default, statuses):
    """Another document may bring another prompt, and then the status changes too."""
    one, two = prompt_of(base, name="one"), prompt_of(base, "def main() -> int:\n", name="two")
    write_prompt(default.with_name("one.attune.safetensors"), one)
    write_prompt(default.with_name("two.attune.safetensors"), two)
    routes = "".join(f"[[route]]\nglobs = ['{n}/**']\nprompt = '{n}'\n" for n in ("one", "two"))
    default.with_name("attune.toml").write_text(routes)
    model = PromptedModel(base, tmp_path, statuses.append)
    for folder, prompt in (("one", one), ("two", two), ("one", one), ("three", None)):
        request = CompletionRequest(TEXT, f"{folder}/a.py", len(TEXT))
        assert completed(model, request) == expected(base, prompt, request.path)
    names = [status.message.partition(" (")[0] for status in statuses]
    ready = "Ready with prompt "
    assert names[:3] == [ready + "one", ready + "two", ready + "one"]
    assert names[3].startswith("Ready without a prompt")


def test_ab_comparison_and_alternatives(base, tmp_path, default, statuses):
    """Without the prompt for a comparison; both texts for an explicit request."""
    prompt = prompt_of(base)
    write_prompt(default, prompt)
    model = PromptedModel(base, tmp_path, statuses.append)
    with_prompt, bare = expected(base, prompt), expected(base, None)
    assert with_prompt != bare
    for explicit in (False, True):
        for without in (False, True):
            request = dataclasses.replace(REQUEST, explicit=explicit, without_prompt=without)
            result = model.complete(request, Computation())
            first, other = (bare, with_prompt) if without else (with_prompt, bare)
            assert result.text == first
            assert result.alternatives == ((other,) if explicit else None)
            assert result.prompt is not None


def test_warming_leaves_one_token_to_compute(base, statuses):
    model = PromptedModel(base, None, statuses.append)
    model.warm(REQUEST, Computation())
    assert model.complete(REQUEST, Computation()).prefilled == 1


@pytest.mark.parametrize("gain", [-0.04, 0.04, None])
def test_a_prompt_does_not_serve_a_file_that_it_does_not_fit(
    base, tmp_path, default, statuses, fit_gain, gain
):
    fit_gain.value = gain
    prompt = prompt_of(base)
    write_prompt(default, prompt)
    model = PromptedModel(base, tmp_path, statuses.append)
    assert completed(model) == expected(base, prompt)  # until the check has run
    before = model.version(REQUEST)
    for _ in range(2):
        model.check_fit(REQUEST, Computation())
    misfits = gain is not None and gain < 0
    assert fit_gain.calls == 1
    assert (model.version(REQUEST) != before) == misfits
    assert statuses[-1].message == (
        "Ready without a prompt: prompt space does not fit this file: "
        "with it, what is written there takes 4.0 % more bits."
        if misfits
        else f"Ready with prompt space ({SAVES_4})"
    )
    count = len(statuses)
    model.refresh()  # nothing has changed on disk
    assert completed(model) == expected(base, None if misfits else prompt)
    assert len(statuses) == count
    assert served_by(model, CompletionRequest(TEXT, "b.txt", len(TEXT))) is not None


def test_a_file_that_has_grown_is_checked_again(base, tmp_path, default, statuses, fit_gain):
    write_prompt(default, prompt_of(base))
    model = PromptedModel(base, tmp_path, statuses.append)
    model.check_fit(REQUEST, Computation())
    assert served_by(model) is None
    fit_gain.value = 0.01
    model.check_fit(CompletionRequest(2 * TEXT, "a.txt", len(TEXT)), Computation())
    assert served_by(model) is not None


def test_a_prompt_that_is_tuned_again_is_checked_again(base, tmp_path, default, statuses, fit_gain):
    write_prompt(default, prompt_of(base))
    model = PromptedModel(base, tmp_path, statuses.append)
    model.check_fit(REQUEST, Computation())
    assert served_by(model) is None
    write_prompt(default, prompt_of(base, "def main() -> int:\n"))
    assert served_by(model) is not None


def test_documents_of_one_name_are_checked_separately(base, tmp_path, default, statuses, fit_gain):
    """Outside of all folders a document's path is its name alone."""
    write_prompt(default, prompt_of(base))
    model = PromptedModel(base, tmp_path, statuses.append)
    outside, own = (
        dataclasses.replace(REQUEST, uri=uri) for uri in ("file:///b/a.txt", "file:///a.txt")
    )
    model.check_fit(outside, Computation())
    assert served_by(model, outside) is None
    assert served_by(model, own) is not None


def test_without_prompts_no_fit_is_checked(base, tmp_path, default, statuses, fit_gain):
    write_prompt(default, prompt_of(base))
    model = PromptedModel(base, tmp_path, statuses.append, disabled="the settings say so")
    assert statuses[-1].message == "Ready without a prompt: the settings say so."
    model.check_fit(REQUEST, Computation())
    assert fit_gain.calls == 0
    assert served_by(model) is None


@pytest.mark.shipped_weights
def test_a_real_prompt_does_not_serve_code_of_another_kind(tmp_path, default, statuses):
    base = load_model()
    default.write_bytes((controls.FOLDER / "networkx.attune.safetensors").read_bytes())
    model = PromptedModel(base, tmp_path, statuses.append)
    text = inspect.getsource(stringprep)  # tables of characters
    request = CompletionRequest(text, "vendored/stringprep.py", len(text) // 2)
    assert served_by(model, request) is not None
    model.check_fit(request, Computation())
    assert "does not fit this file" in statuses[-1].message
    assert served_by(model, request) is None


def test_a_named_prompt_serves_every_file(base, tmp_path, statuses, fit_gain):
    named = tmp_path / "mine.attune.safetensors"
    write_prompt(named, prompt_of(base))
    model = PromptedModel(base, tmp_path, statuses.append, named=named)
    model.check_fit(REQUEST, Computation())
    assert served_by(model) is not None
    assert fit_gain.calls == 0


def test_a_cancelled_fit_check_is_repeated(base, tmp_path, default, statuses):
    write_prompt(default, prompt_of(base))
    model = PromptedModel(base, tmp_path, statuses.append)
    request, cancelled = CompletionRequest(9 * TEXT, "a.txt", 0), Computation()
    cancelled.cancel()
    check = model._selectors[tmp_path]._fit_check
    model.check_fit(request, cancelled)
    assert check.is_due(read_prompt(default), request)
    model.check_fit(request, Computation())
    assert not check.is_due(read_prompt(default), request)


def test_memory_that_runs_out_is_a_reason_and_the_next_request_is_answered(
    base, tmp_path, statuses, monkeypatch
):
    model = PromptedModel(base, tmp_path, statuses.append)

    def failing(*args: object, **kwargs: object) -> None:
        raise OutOfModelMemoryError("tiny ran out of memory on the device cuda.")

    with monkeypatch.context() as patch:
        patch.setattr(DecoderSession, "generate", failing)
        result = model.complete(REQUEST, Computation())
    assert (result.text, result.reason) == ("", "out_of_memory")
    assert completed(model) == expected(base, None)


@pytest.fixture
def opened(monkeypatch) -> list[str | None]:
    """The names of the prompts behind which sessions were opened, None for the bare model."""
    names: list[str | None] = []
    open_session = DecoderModel.open

    def recorded(model: DecoderModel, prompt: PromptFile | None = None) -> DecoderSession:
        names.append(None if prompt is None else prompt.manifest.name)
        return open_session(model, prompt)

    monkeypatch.setattr(DecoderModel, "open", recorded)
    return names


def test_changed_prompts_of_other_repositories_leave_the_session_in_use(
    base, tmp_path, statuses, opened
):
    """A pull in five repositories at once changes the prompts of all."""
    roots = [tmp_path / str(number) for number in range(MAX_SESSIONS + 2)]
    model = PromptedModel(base, roots[0], statuses.append)
    for number, root in enumerate(roots):
        (root / DEFAULT_PROMPT).parent.mkdir(parents=True)
        model.add_root(root)
        write_prompt(root / DEFAULT_PROMPT, prompt_of(base, f"{number}", name=f"p{number}"))
    in_last = dataclasses.replace(REQUEST, root=roots[-1])
    model.warm(in_last, Computation())
    opened.clear()
    for number, root in enumerate(roots[:-1]):
        write_prompt(root / DEFAULT_PROMPT, prompt_of(base, f"{number}x", name=f"q{number}"))
    model.refresh()
    assert opened == []
    assert model.complete(in_last, Computation()).prefilled == 1
    write_prompt(roots[-1] / DEFAULT_PROMPT, prompt_of(base, "y", name="mine"))
    model.refresh()
    assert opened == ["mine"]  # so that the next request need not


def test_the_fit_check_opens_no_session_that_is_there(base, tmp_path, default, statuses, opened):
    write_prompt(default, prompt_of(base))
    model = PromptedModel(base, tmp_path, statuses.append)
    requests = [CompletionRequest(9 * TEXT, f"{name}.txt", 9 * len(TEXT)) for name in "abc"]
    for request in requests:
        model.warm(request, Computation())
        model.check_fit(request, Computation())
        assert model.complete(request, Computation()).prefilled == 1  # the cache is as it was
    assert opened == ["space", None]


def test_repositories_of_which_nothing_is_open_are_forgotten(base, tmp_path, statuses, monkeypatch):
    monkeypatch.setattr(prompted_model, "MAX_REPOSITORIES", 2)
    roots = [tmp_path / name for name in "abc"]
    (roots[0] / DEFAULT_PROMPT).parent.mkdir(parents=True)
    prompt = prompt_of(base)
    write_prompt(roots[0] / DEFAULT_PROMPT, prompt)
    model = PromptedModel(base, None, statuses.append)
    in_first, *others = [dataclasses.replace(REQUEST, root=root) for root in roots]
    assert completed(model, in_first) == expected(base, prompt)
    version = model.version(in_first)
    for request in others:
        completed(model, request)
    folders = {folder for root in roots[1:] for folder in [root / ".attune"]}
    assert {folder for folder in model.folders() if tmp_path in folder.parents} == folders
    model.refresh()
    assert completed(model, in_first) == expected(base, prompt)
    assert model.version(in_first) != version  # no old result is taken for one of now


def test_the_latest_sessions_are_kept(base):
    pool = SessionPool(base)
    prompts = [
        dataclasses.replace(prompt_of(base, f"{n}"), sha256=str(n)) for n in range(MAX_SESSIONS)
    ]
    bare = pool.session(None)
    first, *_ = [pool.session(prompt) for prompt in prompts]
    assert len(pool._sessions) == MAX_SESSIONS
    assert pool.session(prompts[0]) is first
    assert pool.session(None) is not bare  # the least recently used one was dropped
