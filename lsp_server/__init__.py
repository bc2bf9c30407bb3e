"""The language server: inline completions over LSP, computed on one worker thread."""
