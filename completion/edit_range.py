"""How much text right of the cursor a completion replaces."""

from code_context.brackets import QUOTES, end_of_string, scan


def replaced_length(completion: str, right: str) -> int:
    """Code points of `right`, the rest of the cursor's line, that `completion` writes again.

    An editor has put closing brackets and quotes there by itself; a completion that closes them
    too must take their place, or they would stand twice.
    """
    right = right.rstrip()
    quote = right[:1] if right[:1] in QUOTES and right[:1] else ""
    end = end_of_string(completion, quote) if quote else 0
    if end < 0:
        return 0
    replaced = len(quote)
    for place in scan(completion[end:])[0]:
        if right[replaced : replaced + 1] != completion[end + place]:
            break
        replaced += 1
    return replaced
