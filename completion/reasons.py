"""Why a completion is empty, in words. The server has more reasons (`lsp_server.protocol`)."""

REASONS = {
    "inside_word": "the cursor stands inside a word",
    "in_string": "the cursor stands in a string",
    "in_comment": "the cursor stands in a comment",
    "nothing_to_add": "the model adds nothing here",
    "cancelled": "the request was cancelled",
    "repeats_suffix": "the suggestion repeats what follows",
    "repeats_left": "the suggestion repeats what stands before it",
    "joins_word": "the suggestion would grow together with the word behind it",
    "unbalanced_brackets": "the suggestion closes a bracket that nothing has opened",
    "wrong_indentation": "the suggestion is indented unlike the file",
    "repetition_loop": "the suggestion goes round in circles",
    "breaks_parse": "the suggestion would add a syntax error",
    "below_threshold": "the model is too unsure",
}
