"""Rows are full and repeatable; a killed run continues where its checkpoint was written."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer, LlamaForCausalLM

from code_model.fim import FimEncoder
from code_model.fim_templates import ATTUNE
from code_model.language_model import ModelLoadError
from code_model.loading import load_model
from code_model.tokenizer import Tokenizer
from pretraining import checkpoint, corpus, tokenizer, train
from pretraining.corpus import Document
from pretraining.rows import IGNORED, Batches, Rows
from tests.unit.pretraining.test_corpus import body

LENGTH = 128
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


def rows_in(folder: Path, config: dict[str, Any]) -> Rows:
    encoder = FimEncoder(Tokenizer(folder / "run" / "tokenizer.json"), ATTUNE)
    rows = Rows(DOCUMENTS, encoder, config["data"], seed=1)
    rows.vocab_size = 400
    return rows


def test_rows_are_full_and_repeatable(folder: Path, config: dict[str, Any]) -> None:
    rows, again = rows_in(folder, config), rows_in(folder, config)
    for index in range(60):
        ids, labels = rows.row(index, LENGTH)
        assert len(ids) == len(labels) == LENGTH + 1
        assert ids[0] == rows.encoder.beginning_ids[0]
        learnt = [(token, label) for token, label in zip(ids, labels, strict=True)
                  if label != IGNORED]  # fmt: skip
        assert len(learnt) > LENGTH // 4
        assert all(token == label for token, label in learnt)
        assert again.row(index, LENGTH) == (ids, labels)
    assert rows.row(0, LENGTH) != rows.row(1, LENGTH)


def test_an_index_made_ahead_changes_no_row(folder: Path, config: dict[str, Any]) -> None:
    ahead, late = rows_in(folder, config), rows_in(folder, config)
    ahead.index(workers=2)
    assert all(retrieval.holders for retrieval in ahead.retrieval.values())
    assert not any(retrieval.holders for retrieval in late.retrieval.values())
    for index in range(40):
        assert ahead.row(index, LENGTH) == late.row(index, LENGTH)


def test_both_orders_and_other_files_occur(folder: Path, config: dict[str, Any]) -> None:
    rows = rows_in(folder, config)
    encoder = rows.encoder
    orders, files = set(), set()
    for index in range(40):
        ids, _ = rows.row(index, 4 * LENGTH)
        if encoder.middle_ids[0] in ids:
            before = ids[: ids.index(encoder.middle_ids[0])]
            orders.add(before.index(encoder.suffix_ids[0]) < before.index(encoder.prefix_ids[0]))
            files.add(before.count(encoder.separator_ids[0]))
    assert orders == {True, False}
    assert max(files) > 1


def test_labels_are_the_next_ids(folder: Path, config: dict[str, Any]) -> None:
    rows = rows_in(folder, config)
    ids, labels = Batches(rows, first=6, count=3, length=LENGTH)[1]
    assert ids.shape == labels.shape == (3, LENGTH)
    learnt = labels[:, :-1] != IGNORED
    assert learnt.any()
    assert torch.equal(labels[:, :-1][learnt], ids[:, 1:][learnt])
    assert ids[0].tolist() == rows.row(9, LENGTH)[0][:-1]


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
    export = folder / "run" / "export"
    config["training"]["minutes"] = 0.0  # not one step: what is exported is what it began with
    train.train(folder, config, "second", start=export)
    assert load_model(folder / "second" / "export").weights_hash() == (
        load_model(export).weights_hash()
    )
    config["model"]["hidden_size"] = 64
    with pytest.raises(ModelLoadError, match="shape"):
        train.train(folder, config, "third", start=export)


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
