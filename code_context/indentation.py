"""The unit by which a text indents its lines: a tab, or a number of spaces."""

import re

INDENTED_LINE = re.compile(r"^[ \t]+(?=\S)", re.MULTILINE)


def indentation_unit(text: str) -> str | None:
    """A tab if most indented lines begin with one, else as many spaces as the shallowest has.

    None if no line is indented.
    """
    indents: list[str] = INDENTED_LINE.findall(text)
    if not indents:
        return None
    if sum(indent.startswith("\t") for indent in indents) * 2 > len(indents):
        return "\t"
    return " " * min((len(indent) for indent in indents if "\t" not in indent), default=1)
