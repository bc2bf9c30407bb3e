"""The user's models on disk, and which one serves."""

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from benchmarks.gguf_export import export_gguf
from code_model import loading
from code_model.decoder.model import DecoderModel
from code_model.language_model import ModelLoadError
from code_model.loading import best_engine, load_model, load_tunable_model
from code_model.model_addition import (
    Computing,
    ModelNameError,
    add_model,
    delete_own_files,
    free_name,
    model_folder_of,
    verify_files,
)
from code_model.model_check import capabilities_of, facts_of
from code_model.model_choice import DEFAULT, ModelChoice
from code_model.model_folder import read_model_folder
from code_model.model_resolution import MODEL_VARIABLE, UnknownModelError, resolve_model
from code_model.user_models import (
    FileEntry,
    UserModel,
    UserServer,
    downloads_folder,
    forget_model,
    models_file,
    read_user_models,
    record_model,
    record_server,
    set_default,
)
from prompts.configuration import FILE_NAME, FOLDER, add_route, read_configuration, set_model
from prompts.edit_lock import edit_lock
from prompts.errors import ConfigurationError


@pytest.fixture
def folder(tiny_model: Path, tmp_path: Path) -> Path:
    """A model of the user's own, which a test may change."""
    return Path(shutil.copytree(tiny_model, tmp_path / "mine"))


@pytest.mark.usefixtures("shipped_by_name")
def test_the_order_of_what_names_a_model(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    for name in ("a", "b", "c", "d"):
        add_model(name, folder, str(folder))

    def serving(named: str | None = None) -> tuple[str, str]:
        resolved = resolve_model(named, root)
        assert resolved.notices == ()
        return resolved.name, resolved.named_by

    assert serving() == ("shipped", "shipped")
    assert resolve_model().choice.path == DEFAULT
    set_default("a")
    assert serving() == ("a", "user")
    set_model(root / FOLDER, "b")
    assert serving() == ("b", "repository")
    assert resolve_model(None, tmp_path).name == "a"
    monkeypatch.setenv(MODEL_VARIABLE, "c")
    assert serving() == ("c", "environment")
    assert serving("d") == ("d", "option")
    assert serving(str(folder)) == (str(folder), "option")
    assert load_model(resolve_model("d").choice).name == "tiny"


@pytest.mark.usefixtures("shipped_by_name")
def test_a_repository_can_name_no_path(folder: Path, tmp_path: Path) -> None:
    """Neither a model's folder nor anything else that the user has not added is loaded."""
    (tmp_path / FOLDER).mkdir()
    file = tmp_path / FOLDER / FILE_NAME
    file.write_text(f'[model]\nname = "{folder}"\n')
    resolved = resolve_model(None, tmp_path)
    assert resolved.name == "shipped"
    assert "printable characters without /" in resolved.notices[0]
    file.write_text('[model]\nname = "theirs"\n')
    resolved = resolve_model(None, tmp_path)
    assert resolved.choice.path == DEFAULT
    assert "`attune model add PATH --name theirs`" in resolved.notices[0]


@pytest.mark.usefixtures("shipped_by_name")
def test_a_repository_can_propose_a_team_server_and_the_user_decides(
    folder: Path, tmp_path: Path
) -> None:
    """Code is sent to an address that the user has joined, and to no other."""
    (tmp_path / FOLDER).mkdir()
    file = tmp_path / FOLDER / FILE_NAME
    file.write_text('[team]\nurl = "https://llm.example.com"\n')
    resolved = resolve_model(None, tmp_path)
    assert (resolved.name, resolved.choice.server) == ("shipped", None)
    assert "no code is sent there unless you run `attune team join`" in resolved.notices[0]
    add_model("a", folder, str(folder))
    record_server("team", UserServer("https://llm.example.com/", "a", key="env:TEAM_KEY"))
    resolved = resolve_model(None, tmp_path)
    assert (resolved.name, resolved.named_by, resolved.notices) == ("team", "repository", ())
    choice = resolved.choice
    assert choice.server is not None
    assert (choice.path, choice.server.key) == (folder, "env:TEAM_KEY")
    assert choice.on_this_machine == read_user_models().choice("a")
    file.write_text('[team]\nurl = "https://llm.example.com.evil.org"\n')
    assert resolve_model(None, tmp_path).choice.server is None
    file.write_text('[team]\nurl = "https://llm.example.com"\nkey = "env:HOME"\n')
    assert resolve_model(None, tmp_path).choice.server is None  # a repository names no key
    forget_model("team")
    assert read_user_models().names == ["shipped", "a"]


@pytest.mark.parametrize(
    "url",
    [
        "http://llm.example.com",
        "https://user:password@llm.example.com",
        "https://llm.example.com/?key=1",
        "https://llm.example.com#a",
        "https://",
        "https://llm.example.com:port",
        "ftp://127.0.0.1",
        "http://127.0.0.1.example.com",
        " https://llm.example.com",
    ],
)
def test_code_is_sent_encrypted_or_stays_on_this_machine(url: str) -> None:
    with pytest.raises(ConfigurationError, match="https address"):
        record_server("team", UserServer(url))


@pytest.mark.parametrize("url", ["https://a.b/c", "http://127.0.0.1:8000", "http://localhost:1"])
def test_addresses_that_a_server_may_have(url: str) -> None:
    record_server("team", UserServer(url))
    server = read_user_models().server["team"]
    assert server.url == url


def test_an_unknown_name_is_an_error_where_the_user_gave_it() -> None:
    with pytest.raises(UnknownModelError, match="choose one of shipped, or add it"):
        resolve_model("other")


def test_a_repositorys_choice_keeps_its_routes_and_comments(tmp_path: Path) -> None:
    add_route(tmp_path, ("*.py",), "p")
    file = tmp_path / FILE_NAME
    file.write_text("# ours\n" + file.read_text())
    set_model(tmp_path, "a")
    set_model(tmp_path, "b")
    configuration = read_configuration(file)
    assert (configuration.model_name, configuration.routes[0].prompt) == ("b", "p")
    assert file.read_text().startswith("# ours\n")
    set_model(tmp_path, None)
    assert read_configuration(file).model_name is None


@pytest.mark.usefixtures("shipped_by_name")
def test_a_removed_model_is_no_default_any_more(folder: Path) -> None:
    add_model("a", folder, str(folder))
    set_default("a")
    forget_model("a")
    assert read_user_models().default is None
    assert resolve_model().name == "shipped"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("default = '../a'", "default must be 1 to 64 letters"),
        ("[model.a]\npath = '/x'\nrun = 'y'", "model.a.run is not a known key"),
        ("[model.a]\npath = '/x'\nengine = 'vllm'", "model.a.engine must be"),
        ("[model.a]\npath = '/x'\nrevision = 'main'", "a commit's 40 hex digits"),
        ("[model.'../a']\npath = '/x'", "letters"),
        ("[model", "is not TOML"),
    ],
)
def test_a_broken_list_is_refused_in_one_sentence(content: str, words: str) -> None:
    models_file().write_text(content)
    with pytest.raises(ConfigurationError, match=words) as caught:
        resolve_model()
    assert str(models_file()) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_names(folder: Path) -> None:
    assert free_name(None, folder, "s") == "mine"
    assert free_name(None, Path("/x/Qwen 2.5 (new)"), "s") == "Qwen-2.5-new-"
    for bad in ("../a", "a/b", "", "shipped", "-a"):
        with pytest.raises(ModelNameError):
            free_name(bad or "!", folder, "s")
    add_model("mine", folder, "s")
    assert free_name(None, folder, "s") == "mine"  # the same source may be added again
    with pytest.raises(ModelNameError, match="another model 'mine'"):
        free_name(None, folder, "t")


def test_what_could_not_be_read_again_is_not_written(tiny_model: Path, tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 120) / ("e" * 120) / "model"
    shutil.copytree(tiny_model, deep)
    add_model("deep", deep, str(deep))  # longer than a line of other files may be
    assert load_model(resolve_model("deep").choice).name == "tiny"
    hostile = Path(shutil.copytree(tiny_model, tmp_path / "a\nb"))
    with pytest.raises(
        ConfigurationError, match=r"cannot be recorded: model\.hostile\.path must be"
    ):
        add_model("hostile", hostile, str(hostile))
    assert read_user_models().names == ["shipped", "deep"]


def test_changed_files_are_found(folder: Path) -> None:
    model = add_model("a", folder, str(folder))
    choice = model.choice
    fingerprint = load_model(folder).identity.model_fingerprint
    assert load_model(choice).identity.model_fingerprint == fingerprint  # by the recorded hashes
    assert verify_files("a", model) == ()
    weights = folder / "model.safetensors"

    os.utime(weights, ns=(1, 1))
    with pytest.raises(ModelLoadError, match=r"has changed since .*`attune model check`"):
        load_model(choice)
    assert verify_files("a", model) == ()  # the same bytes: the new time is recorded
    assert load_model(resolve_model("a").choice).name == "tiny"

    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    [problem] = verify_files("a", model)
    assert "is not the file that was added" in problem
    weights.unlink()
    with pytest.raises(ModelLoadError, match="is gone"):
        load_model(choice)


def test_a_model_without_a_visible_prefix_is_not_added(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "mistral", "sliding_window": 64}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelLoadError, match="sliding-window layers see 64 tokens only"):
        add_model("a", folder, str(folder))
    assert read_user_models().names == ["shipped"]


def test_a_gguf_file_is_added_where_it_is(tmp_path: Path, base: DecoderModel) -> None:
    pytest.importorskip("llama_cpp")
    file = tmp_path / "tiny.gguf"
    export_gguf(base.llama, file, full=True, tokenizer=base.folder / "tokenizer.json")
    with pytest.raises(ModelLoadError, match="is a GGUF file; add it with"):
        load_model(file)
    with pytest.raises(ModelLoadError, match=r"tiny\.gguf cannot be used: .*no known family"):
        model_folder_of(file, "tiny")
    folder = model_folder_of(file, "tiny", "attune")
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(file.read_bytes()[:2000])
    with pytest.raises(ModelLoadError, match="failed to read"):
        model_folder_of(broken, "tiny", "attune")
    assert [path.name for path in folder.parent.iterdir()] == ["tiny"]  # the one before
    assert model_folder_of(file, "tiny", "attune") == folder
    model = add_model("tiny", folder, str(file))
    assert [entry.path for entry in model.file if entry.path.endswith(".gguf")] == [str(file)]
    loaded = load_model(resolve_model("tiny").choice)
    assert loaded.runtime.engine == "llama.cpp"
    recorded = read_model_folder(folder)
    assert facts_of(recorded).weight_bytes == file.stat().st_size
    assert capabilities_of(loaded, recorded).tunes == ("embedding", "kv")
    file.write_bytes(file.read_bytes() + b"more")
    with pytest.raises(ModelLoadError, match=r"tiny\.gguf has changed since"):
        load_model(model.choice)
    forget_model("tiny")
    assert delete_own_files(model)
    assert not folder.exists()
    assert file.exists()


def test_files_that_another_model_uses_stay(folder: Path) -> None:
    """One download of a hub holds a model and a GGUF file, which two models name."""
    commit = downloads_folder() / "owner--tiny"
    shutil.copytree(folder, commit)
    gguf = commit / "q4" / "tiny.gguf"
    gguf.parent.mkdir()
    gguf.write_bytes(b"GGUF")
    add_model("safetensors", commit, "s")
    source = FileEntry(str(gguf), 4, 0, "0" * 64)
    for name in ("a", "b"):
        made = downloads_folder() / "gguf" / name
        made.mkdir(parents=True)
        record_model(name, UserModel(str(made), file=(source,)))

    def remove(name: str) -> bool:
        model = read_user_models().model[name]
        forget_model(name)
        return delete_own_files(model)

    assert remove("a")
    assert gguf.exists()
    assert not remove("safetensors")
    assert gguf.exists()
    assert remove("b")
    assert not gguf.exists()
    record_model("all", UserModel(str(downloads_folder())))
    assert not remove("all")
    assert downloads_folder().exists()


def test_edits_of_several_processes_are_all_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"m{number}" for number in range(8)]
    with ThreadPoolExecutor(len(names)) as threads:
        list(threads.map(lambda name: record_model(name, UserModel("/x")), names))
    assert sorted(read_user_models().model) == names
    monkeypatch.setattr("prompts.edit_lock.LOCK_SECONDS", 0.01)
    with (
        edit_lock(models_file()),
        pytest.raises(ConfigurationError, match="is being changed by another process"),
    ):
        set_default("m1")


@pytest.mark.parametrize(
    ("computing", "sentence"),
    [
        (Computing(precision="float99"), "no precision 'float99'; choose one of float32, bfloat16"),
        (Computing(device="cuda:77"), "no device 'cuda:77' on this machine; choose cuda, mps or"),
        (Computing(quantisation="int3"), "no quantisation 'int3'; choose one of int8, int4"),
        (Computing("decoder", precision="bfloat16"), "decoder has no precision bfloat16"),
        (Computing("llama.cpp", device="cpu"), "choose no --device, --precision or"),
    ],
)
def test_what_nothing_here_computes_is_not_added(
    folder: Path, computing: Computing, sentence: str
) -> None:
    with pytest.raises(ModelLoadError, match=sentence) as caught:
        add_model("a", folder, str(folder), computing=computing)
    assert "\n" not in str(caught.value)
    assert read_user_models().model == {}


def test_a_model_without_infilling_is_added_by_its_layout(folder: Path) -> None:
    (folder / "attune.json").unlink()
    with pytest.raises(ModelLoadError, match=r"no known family.*--layout left-to-right"):
        add_model("a", folder, str(folder))
    model = add_model("a", folder, str(folder), computing=Computing(layout="left-to-right"))
    assert load_model(model.choice).encoder.template.family == "left-to-right"
    assert load_tunable_model(model.choice).encoder.template.family == "left-to-right"


def test_a_large_model_goes_to_the_gpu_if_there_is_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def engine(device: str | None = None) -> str:
        return best_engine(read_model_folder(folder), ModelChoice(folder, device=device))

    monkeypatch.setattr(loading, "_has_gpu", lambda: True)
    assert engine() == "decoder"
    monkeypatch.setattr(loading, "LARGE_BYTES", 1000)
    assert engine() == "transformers"
    assert engine("cpu") == "decoder"
    monkeypatch.setattr(loading, "_has_gpu", lambda: False)
    assert engine() == "decoder"
