"""The copy in bfloat16 computes what autocast makes of the original, which stays as it is."""

import torch

from code_model.bfloat16 import _faster
from code_model.decoder.kv_cache import PrefixKV
from code_model.decoder.llama import Llama, LlamaConfig
from code_model.decoder.model import DecoderModel
from code_model.decoder.precision import autocast_of, in_bfloat16
from code_model.decoder.soft_prompt import kv_of_ids


def test_the_copy_has_the_logits_of_autocast(base: DecoderModel) -> None:
    before = base.weights_hash()
    low = in_bfloat16(base.llama)
    prefix = PrefixKV(kv_of_ids(base.llama, [0, 5, 6]))
    ids = torch.tensor([[9, 30, 31, 32]])
    with torch.no_grad(), autocast_of(base.llama):
        assert not torch.is_autocast_enabled("cpu")
    with torch.no_grad(), autocast_of(low):
        expected = base.llama.logits(base.llama(ids, prefix))
        logits = low.logits(low(ids, prefix, embeddings=base.llama.model.embed_tokens(ids)))
    torch.testing.assert_close(logits, expected)
    assert base.weights_hash() == before
    assert low.model.norm.weight.dtype == torch.float32


def test_a_head_of_its_own_is_copied_too() -> None:
    config = LlamaConfig(
        vocab_size=32,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        tie_word_embeddings=False,
    )
    model = Llama(config)
    model.init_weights(torch.Generator().manual_seed(1))
    low = in_bfloat16(model)
    assert low.lm_head.weight.dtype == torch.bfloat16
    assert low.lm_head.weight.float().equal(model.lm_head.weight.bfloat16().float())
    assert not any(one.requires_grad for one in low.parameters())


def test_the_probe_tells_little_work_from_much() -> None:
    little, much = torch.ones(32, 32), torch.ones(1024, 1024)
    assert _faster(little, much)
    assert not _faster(much, little)
