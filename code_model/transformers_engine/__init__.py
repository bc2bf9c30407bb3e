"""Any causal LM that transformers computes and whose cache can be cut: CUDA, Apple MPS or CPU."""
