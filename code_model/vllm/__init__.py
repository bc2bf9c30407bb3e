"""The vLLM engine: a model on a team's server, by HTTP; ids in, streamed ids out."""
