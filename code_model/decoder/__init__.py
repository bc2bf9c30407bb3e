"""Our own CPU decoder: Llama-type models, prompts in every form, KV reuse, greedy decoding."""
