"""The frozen code model: loading, FIM layout, soft-prompt injection, KV reuse, greedy decoding."""
