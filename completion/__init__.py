"""From text and cursor to a suggestion: pipeline, filters, cache, debouncing, scheduling."""
