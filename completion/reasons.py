"""The closed list of reasons for an empty completion, with their messages.

docs/protocol.md lists them for clients. Every reason in the code has the type `Reason`, so that
mypy refuses one that is not in the list.
"""

from collections.abc import Mapping
from typing import Literal

Reason = Literal[
    "inside_word",
    "in_string",
    "in_comment",
    "nothing_to_add",
    "cancelled",
    "repeats_suffix",
    "repeats_left",
    "joins_word",
    "unbalanced_brackets",
    "wrong_indentation",
    "repetition_loop",
    "breaks_parse",
    "below_threshold",
    "rejected",
    "echo_of_deletion",
    "no_engine",
    "out_of_memory",
    "timed_out",
    "not_open",
    "out_of_sync",
    "too_large",
    "stale",
    "error",
]

REASONS: Mapping[Reason, str] = {
    "inside_word": "the cursor stands inside a word",
    "in_string": "the cursor stands in a string",
    "in_comment": "the cursor stands in a comment",
    "nothing_to_add": "the model adds nothing here",
    "cancelled": "the request was cancelled",
    "repeats_suffix": "the suggestion repeats what follows",
    "repeats_left": "the suggestion repeats what stands before it",
    "joins_word": "the suggestion would run into the word behind it",
    "unbalanced_brackets": "the suggestion closes a bracket that nothing has opened",
    "wrong_indentation": "the suggestion is indented unlike the file",
    "repetition_loop": "the suggestion repeats itself",
    "breaks_parse": "the suggestion would add a syntax error",
    "below_threshold": "the model is too unsure",
    "rejected": "this suggestion was dismissed here before",
    "echo_of_deletion": "the suggestion brings back what was just deleted",
    "no_engine": "the model is not loaded",
    "out_of_memory": "the model ran out of memory; close other programs or choose a smaller model",
    "timed_out": "no model answered in time",
    "not_open": "the document is not open",
    "out_of_sync": "an edit from the editor was invalid; close the file and open it again",
    "too_large": "the document has over 2.5 million characters; once it is smaller, open it again",
    "stale": "the document has changed since the request",
    "error": "an error occurred; the log has its type and place",
}

JUDGED: frozenset[Reason] = frozenset(
    {
        "nothing_to_add",
        "repeats_suffix",
        "repeats_left",
        "joins_word",
        "unbalanced_brackets",
        "wrong_indentation",
        "repetition_loop",
        "breaks_parse",
        "below_threshold",
    }
)
"""Reasons that depend on what the model said: with another prompt there might be a suggestion."""
