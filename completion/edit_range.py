"""How much text right of the cursor a completion replaces."""

from code_context.brackets import QUOTES, end_of_string, scan


def replaced_length(completion: str, right: str) -> int:
    """Code points at the start of `right`, the rest of the cursor's line, to be replaced.

    Editors insert closing brackets and quotes automatically. A completion that closes them itself
    must replace them, or they would be there twice.
    """
    right = right.rstrip()
    quote = right[:1] if right[:1] in QUOTES and right[:1] else ""
    end = end_of_string(completion, quote) if quote else 0
    if end < 0:
        return 0
    replaced = len(quote)
    for closer in scan(completion[end:])[0]:
        if right[replaced : replaced + 1] != completion[end + closer]:
            break
        replaced += 1
    return replaced
