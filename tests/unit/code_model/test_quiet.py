"""Loading by transformers: one thread at a time."""

import threading

from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from code_model.quiet import quiet


def test_two_threads_that_load_leave_transformers_as_it_was() -> None:
    """Each load replaces `tie_weights` and puts back what it found: together they would keep it."""
    original = PreTrainedModel.tie_weights
    small = LlamaConfig(
        vocab_size=16, hidden_size=8, intermediate_size=8, num_hidden_layers=1,
        num_attention_heads=1, tie_word_embeddings=True,
    )  # fmt: skip
    weights = LlamaForCausalLM(small).state_dict()
    inside, most = 0, 0

    def load() -> None:
        nonlocal inside, most
        for _ in range(5):
            with quiet():
                inside += 1
                most = max(most, inside)
                LlamaForCausalLM.from_pretrained(None, config=small, state_dict=dict(weights))
                inside -= 1

    threads = [threading.Thread(target=load) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert PreTrainedModel.tie_weights is original
