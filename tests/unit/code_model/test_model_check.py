"""What a check says about a model, with a clock of the test's own."""

from itertools import count
from pathlib import Path

from code_model.decoder.model import DecoderModel
from code_model.model_check import capabilities_of, facts_of
from code_model.model_folder import read_model_folder


def test_facts_and_capabilities(tiny_model: Path, base: DecoderModel) -> None:
    folder = read_model_folder(tiny_model)
    facts = facts_of(folder)
    assert (facts.family, facts.order, facts.attention, facts.refusals) == (
        "attune",
        "spm",
        "full",
        (),
    )
    assert facts.fim_tokens[:2] == ("<|fim_prefix|>", "<|fim_suffix|>")
    here = capabilities_of(base, folder, clock=count().__next__)  # each measurement takes 1 s
    assert here.serves == here.tunes == ("embedding", "kv", "kv-nope")
    assert here.parameters == base.num_parameters
    assert (here.engine, here.device, here.precision) == ("decoder", "cpu", "float32")
    numbers = 2 * 2 * 2 * 8  # of one token's keys and values, which the cache has in float16
    assert here.kv_bytes_per_1000_tokens == 1000 * numbers * 2
    cache = base.open()._cache
    assert cache.keys.nbytes + cache.values.nbytes == cache.capacity * numbers * 2
    assert here.prompt_bytes == 256 * numbers * 4 + (256 + 1000) * numbers * 2
    # of 512 positions, one is the beginning's and 32 are for new tokens; 8 were there before
    assert here.speed.prefill == 512 - 1 - 32 - 8
    assert here.speed.decode is None or 1 < here.speed.decode <= 32
