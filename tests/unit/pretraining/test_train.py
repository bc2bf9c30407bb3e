"""A killed run continues where its checkpoint was written, and its export where that was made."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer, LlamaForCausalLM

from code_model.language_model import ModelLoadError
from code_model.loading import load_model
from pretraining import checkpoint, corpus, export, tokenizer, train
from pretraining.corpus import Document
from tests.unit.pretraining.test_corpus import body

DOCUMENTS = [
    Document(package, f"{package}/{name}.py", body(f"{package}_{name}"))
    for package in ("one", "two")
    for name in ("a", "b", "c")
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    tokenizer.train(DOCUMENTS, 400, 50_000, 0).save(str(tmp_path / "run" / "tokenizer.json"))
    corpus.write_parts(corpus.folder_of(tmp_path, "python"), "train", DOCUMENTS)
    return tmp_path


@pytest.fixture
def config() -> dict[str, Any]:
    shipped = tomllib.loads((Path(train.__file__).parent / "config.toml").read_text())
    shipped["tokenizer"]["vocab_size"] = 400
    shipped["model"] |= {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
    }
    shipped["training"] |= {"stages": [[1.0, 64, 2]], "minutes": 0.02, "checkpoint_minutes": 0}
    return shipped


@pytest.fixture(autouse=True)
def _eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiling takes a minute and changes nothing that is tested here."""
    monkeypatch.setattr(torch, "compile", lambda function, **options: function)


def test_a_run_resumes_and_its_export_opens(folder: Path, config: dict[str, Any]) -> None:
    train.train(folder, config, "run")
    first = checkpoint.load(folder / "run" / "checkpoint.pt")["progress"]
    assert first["step"] > 0
    config["training"]["minutes"] *= 2
    train.train(folder, config, "run")
    second = checkpoint.load(folder / "run" / "checkpoint.pt")["progress"]
    assert second["step"] > first["step"]
    log = [json.loads(line) for line in (folder / "run" / "log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in log] == list(range(1, second["step"] + 1))
    export = folder / "run" / "export"
    ours = load_model(export)
    theirs = LlamaForCausalLM.from_pretrained(export, dtype=torch.float32)
    ids = torch.tensor([ours.encoder.encode_file("a.py", "def f(x):\n    return x\n")])
    with torch.no_grad():
        expected = theirs(ids).logits
        torch.testing.assert_close(
            ours.llama.logits(ours.llama(ids)), expected, atol=1e-3, rtol=1e-3
        )
    assert AutoTokenizer.from_pretrained(export).convert_tokens_to_ids("<|fim_middle|>") > 0


def test_a_damaged_checkpoint_falls_back_to_the_one_before(
    folder: Path, config: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "run" / "checkpoint.pt"
    checkpoint.save(path, {"progress": {"step": 1}})
    checkpoint.save(path, {"progress": {"step": 2}})
    assert checkpoint.load(path)["progress"]["step"] == 2
    path.write_bytes(path.read_bytes()[:40])
    assert checkpoint.load(path)["progress"]["step"] == 1
    assert "checkpoint.pt cannot be read" in capsys.readouterr().err
    path.with_suffix(".previous").write_bytes(b"cut")
    with pytest.raises(checkpoint.CheckpointError, match="delete them to start over"):
        train.train(folder, config, "run")


def test_a_new_run_begins_with_another_models_weights(folder: Path, config: dict[str, Any]) -> None:
    train.train(folder, config, "run")
    export_folder = folder / "run" / "export"
    config["training"]["minutes"] = 0.0  # not one step: what is exported is what it began with
    train.train(folder, config, "second", start=export_folder)
    assert load_model(folder / "second" / "export").weights_hash() == (
        load_model(export_folder).weights_hash()
    )
    quantised = folder / "quantised"
    export.export(
        load_model(export_folder).llama, export_folder / "tokenizer.json", quantised, scheme="int8"
    )
    train.train(folder, config, "third", start=quantised)
    begun = load_model(folder / "third" / "export").llama.model.embed_tokens.weight
    rounded = load_model(quantised).llama.model.embed_tokens.weight
    assert begun.equal(rounded.bfloat16().float())
    config["model"]["hidden_size"] = 64
    with pytest.raises(ModelLoadError, match="shape"):
        train.train(folder, config, "fourth", start=export_folder)


def test_an_export_continues_its_runs_schedule(folder: Path, config: dict[str, Any]) -> None:
    """What a machine that is gone has trained is not lost, but for the optimisers' state."""
    train.train(folder, config, "run")
    first = checkpoint.load(folder / "run" / "checkpoint.pt")["progress"]
    config["training"]["minutes"] *= 2
    train.train(folder, config, "second", start=folder / "run" / "export", continued=True)
    lines = (folder / "second" / "log.jsonl").read_text().splitlines()
    log = [json.loads(line) for line in lines]
    assert log[0]["step"] == first["step"] + 1
    assert log[0]["row"] > first["row"]
    second = checkpoint.load(folder / "second" / "checkpoint.pt")
    assert second["progress"]["warm_from"] == first["step"]
    assert second["progress"]["tokens"] > first["tokens"]


def test_without_a_rate_for_muon_adam_trains_everything(
    folder: Path, config: dict[str, Any]
) -> None:
    del config["training"]["muon_lr"]
    train.train(folder, config, "run")
    (state,) = checkpoint.load(folder / "run" / "checkpoint.pt")["optimisers"]
    matrices, model = state["param_groups"][1], train.build_model(config)
    hidden = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
    assert len(matrices["params"]) == len(hidden)
    assert matrices["weight_decay"] > 0


def test_a_call_ends_after_its_minutes(folder: Path, config: dict[str, Any]) -> None:
    config["training"]["minutes"] = 60.0
    train.train(folder, config, "run", call_minutes=0.0)
    assert checkpoint.load(folder / "run" / "checkpoint.pt")["progress"]["step"] <= 1


def test_the_rate_warms_up_and_ends_at_zero() -> None:
    assert train.rate(0.0, 0, 10, 0.3) == pytest.approx(0.1)
    assert train.rate(0.2, 50, 10, 0.3) == 1.0
    assert train.rate(1.0, 900, 10, 0.3) == 0.0


def test_stages_follow_the_share_of_the_time() -> None:
    stages = [[0.6, 512, 8], [0.4, 1024, 4]]
    assert [train.stage(stages, share) for share in (0.0, 0.59, 0.61, 1.0)] == [
        (512, 8), (512, 8), (1024, 4), (1024, 4)
    ]  # fmt: skip
