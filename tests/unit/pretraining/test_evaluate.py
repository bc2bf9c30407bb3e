"""The evaluation: a table for each language, and losses by what stands in front of a hole."""

from pathlib import Path

import pytest
import torch

from code_context.context import ContextConfig
from code_model.decoder.model import DecoderModel
from pretraining import evaluate
from pretraining.corpus import Document
from tests.unit.pretraining.made_packages import write_corpus
from tests.unit.pretraining.test_rows import DEFINES, DOCUMENTS, USES

HELD_OUT = [
    Document("valves", "valves/defines.py", DEFINES[:900]),
    Document("valves", "valves/uses.py", USES[:500]),
    *(document for document in DOCUMENTS if document.language == "go"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_corpus(tmp_path, "held_out", HELD_OUT)
    return tmp_path


def test_each_language_has_its_table(
    folder: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate, "WINDOW_TOKENS", 300)  # the model has 512 positions
    monkeypatch.setattr(evaluate, "CONFIG", ContextConfig(96, 32, 32, 128))
    shares: list[float] = []
    results = evaluate.evaluate(tiny_model, folder, progress=shares.append)
    assert shares == [0.0, 0.5]
    python, go = (results["languages"][language] for language in ("python", "go"))
    row = python["packages"]["valves"]
    assert row["bits_per_byte"] > 2.0  # the weights are random
    assert 0.0 <= row["exact_line"] <= row["similarity"] <= 1.0
    gain = row["naming_random"] - row["naming_served"]
    assert python["median"]["context_gain"] == pytest.approx(gain, abs=2e-4)
    assert row["naming_defining"] != row["naming_none"]
    assert "naming_none" not in go["packages"]["go"]  # no file there uses another one
    again = evaluate.evaluate(tiny_model, folder)
    assert again == results
    table = evaluate.markdown(results)
    assert f"| valves | {row['bits_per_byte']:.2f} |" in table
    assert table.count("| median |") == 2


def test_a_loss_is_that_of_the_last_ids(base: DecoderModel) -> None:
    ids = [1, 5, 9, 20, 33]
    logits = base.llama.logits(base.llama(torch.tensor([ids])))[0].log_softmax(-1)
    expected = -sum(logits[place, ids[place + 1]].item() for place in (2, 3))
    assert evaluate.nats(base.llama, ids, 2) == pytest.approx(expected, abs=1e-3)
