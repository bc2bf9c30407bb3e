"""The show threshold: how much of a decoded text is likely enough to be shown.

A suggestion is the longest run of tokens whose joint probability stays above the threshold. Tokens
of a long suggestion are each likely, but all of them together are not: cutting by the product of
their probabilities leaves few wrong characters and most of the right ones.
`benchmarks.acceptance` measures both.
"""

import re
from collections.abc import Sequence

_IDENTIFIER_AT_END = re.compile(r"\w+\Z")


def likely_tokens(logprobs: Sequence[float], threshold: float) -> int:
    """How many tokens from the first on have a joint log-probability of at least `threshold`."""
    total = 0.0
    for count, logprob in enumerate(logprobs):
        total += logprob
        if total < threshold:
            return count
    return len(logprobs)


def cut_before(text: str, rest: str) -> str:
    """`text` without what a cut in front of `rest` leaves incomplete.

    Removes a partial character, a partial identifier and, after the first line of code, a partial
    line.
    """
    if rest[:1].isalnum() or rest[:1] == "_":
        text = _IDENTIFIER_AT_END.sub("", text)
    body = text.lstrip("\r\n")
    if "\n" in body and rest[:1] not in ("\r", "\n"):
        text = text[: len(text) - len(body)] + body.rpartition("\n")[0]
    return text
