"""The recipe of the embedded default model."""
