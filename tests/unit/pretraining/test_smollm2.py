"""The model that a candidate continues: another one's weights, with infilling tokens beside."""

from pathlib import Path

import tokenizers
import torch

from code_model.fim_templates import ATTUNE, LEFT_TO_RIGHT
from code_model.loading import load_model
from code_model.model_choice import ModelChoice
from pretraining import export, smollm2, train
from pretraining.corpus import Document
from pretraining.tokenizer import train as train_tokenizer
from tests.unit.pretraining.test_corpus import body

SHAPE = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "rms_norm_eps": 9.999999747378752e-06,
}


def left_to_right(folder: Path) -> Path:
    """A model whose tokenizer has one of the layout's tokens."""
    trained = train_tokenizer([Document("p", "a.py", body("a"))], 300, 50_000, 0)
    content = trained.to_str().replace("<|fim_", "<|other_").replace("<|file_sep", "<|other_sep")
    file = folder / "tokenizer.json"
    tokenizers.Tokenizer.from_str(content).save(str(file))
    config = {"tokenizer": {"vocab_size": trained.get_vocab_size()}, "model": SHAPE}
    model = train.build_model(config | {"model": SHAPE | {"max_position_embeddings": 256}})
    model.init_weights(torch.Generator().manual_seed(0))
    export.export(model, file, folder / "source")
    return folder / "source"


def test_the_new_tokens_are_recognised_and_the_old_logits_stay(tmp_path: Path) -> None:
    source = left_to_right(tmp_path)
    smollm2.with_infilling(source, tmp_path / "start", "begun")
    before = load_model(ModelChoice(source, layout=LEFT_TO_RIGHT)).llama
    model = load_model(tmp_path / "start")
    assert model.encoder.template == ATTUNE
    assert model.llama.config.rms_norm_eps == 1e-5
    size = before.config.vocab_size
    new = [model.tokenizer.token_to_id(token) for token in ATTUNE.tokens()[1:]]
    assert sorted(new) == list(range(size, size + 4))
    text = "def a_1(argument):\n    return <|fim_middle|>"
    ids = model.tokenizer.encode(text)
    assert not set(new) & set(ids)
    states = torch.tensor([ids])
    expected = before.logits(before(states))
    found = model.llama.logits(model.llama(states))
    torch.testing.assert_close(found[..., :size], expected, atol=1e-3, rtol=1e-3)
    assert found[..., size:].amax() < expected.amax()
    assert "Apache License 2.0" in (tmp_path / "start" / "README.md").read_text(encoding="utf-8")


def test_new_rows_are_near_the_mean_and_differ() -> None:
    matrix = torch.randn(500, 16, generator=torch.Generator().manual_seed(1)) + 3.0
    grown = smollm2.with_rows(matrix, 504)
    assert grown[:500].equal(matrix)
    assert (grown[500:] - 3.0).abs().max() < 0.6
    assert not grown[500].equal(grown[501])
