"""The llama.cpp engine: GGUF models in any quantisation, behind prompts in its own cache."""
