"""How much text right of the cursor a completion replaces."""

OPENERS = {"(": ")", "[": "]", "{": "}"}
CLOSERS = frozenset(OPENERS.values())
QUOTES = ("'", '"', "`")


def replaced_length(completion: str, right: str) -> int:
    """Code points of `right`, the rest of the cursor's line, that `completion` writes again.

    An editor has put closing brackets and quotes there by itself; a completion that closes them
    too must take their place, or they would stand twice.
    """
    right = right.rstrip()
    quote = right[:1] if right[:1] in QUOTES and right[:1] else ""
    end = _end_of_string(completion, quote) if quote else 0
    if end < 0:
        return 0
    replaced = len(quote)
    for closer in _unmatched_closers(completion[end:]):
        if right[replaced : replaced + 1] != closer:
            break
        replaced += 1
    return replaced


def _end_of_string(text: str, quote: str) -> int:
    """Where the string ends that the cursor stands in, -1 if `text` does not end it."""
    at = 0
    while at < len(text) and text[at] != "\n":
        if text[at] == quote:
            return at + 1
        at += 2 if text[at] == "\\" else 1
    return -1


def _unmatched_closers(text: str) -> list[str]:
    """Closing brackets whose opening ones stand before `text`; those in strings do not count."""
    open_: list[str] = []
    unmatched: list[str] = []
    at = 0
    while at < len(text):
        one = text[at]
        if one in QUOTES:
            end = _end_of_string(text[at + 1 :], one)
            if end > 0:
                at += end
        elif one in OPENERS:
            open_.append(OPENERS[one])
        elif one in CLOSERS:
            if open_ and open_[-1] == one:
                open_.pop()
            elif not open_:
                unmatched.append(one)
        at += 1
    return unmatched
