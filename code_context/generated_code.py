"""Recognise generated files by the comment or docstring that they begin with.

Generators sign their files at the top. Code that only speaks of generating, or of what must not be
changed, is written by people.
"""

import re

MAX_HEADER = 3_000  # characters
_MARKS = re.compile(
    r"""
    (?<![\w`'"])@generated\b
    | ^<auto-?generated
    # Go's convention, protobuf, SWIG, thrift
    | \bdo\ not\ (manually\ |hand[- ])?(edit|modify|change)
        ([.!;:,]|\s*$|\s+(it|this|manually|directly|by\ hand)\b
        |\s+(the|these)\ (file|class|code)s?\b)
    # Django's migrations, ANTLR, OpenAPI, compilers of protocols: the sentence begins so
    | ^(\W*(note|warning|attention|caution)\W+)?
        ((this|the)\ (\w+\ )?(file|class|code|module|header|script|parser|lexer|schema)
            \ (is|was|has\ been|were)\ (\w+ly\ )?
        |(form(\ implementation)?|code|file|class|a\ lexical\ scanner)\ )?
        (auto(matically)?[- ]?)?generated\ (by|from|with|using|via)\b
    | ^(\W*(note|warning|attention|caution)\W+)?
        (this|the)\ (\w+\ )?(file|class|code|module|header|script|schema)
        \ (is|was|has\ been)\ auto(matically)?[- ]?generated\b
    # Qt's compilers, Bison
    | \bcreated\ by:\ .*\b(qt|compiler|object\ code)\b
    | ^(meta|resource)\ object\ code\b
    | \b(all|any)?\ ?changes\ (made\ )?(in|to)\ this\ file\ (will|may)\ be\ (lost|overwritten)
    | \bmade\ by\ gnu\ bison\b
    """,
    re.IGNORECASE | re.VERBOSE,
)
_QUICK = re.compile(r"generated|do not|created by|object code|changes|gnu bison", re.IGNORECASE)
_LINE = re.compile(r"\s*(?:#|//|--|;|%|\*)+!?(.*)")
_BLOCKS = (
    (re.compile(r"\s*/\*+!?"), "*/"),
    (re.compile(r"\s*<!--"), "-->"),
    (re.compile(r'\s*[rRuU]?"""'), '"""'),
    (re.compile(r"\s*[rRuU]?'''"), "'''"),
)
_PRELUDE = re.compile(r"\s*$|<\?php\b|\s*['\"]use strict['\"];?\s*$")


def is_generated(text: str) -> bool:
    """Whether the comments and the docstring before the first code say that a tool wrote it."""
    head = text[:MAX_HEADER].removeprefix("\ufeff")
    if _QUICK.search(head) is None:
        return False
    return any(_MARKS.search(line.strip(" \t*#/-=")) for line in _header_lines(head))


def _header_lines(head: str) -> list[str]:
    """The texts of the comment lines and of the docstring before the first line of code."""
    lines, end = [], None
    for line in head.splitlines():
        if end is None:
            for start, closing in _BLOCKS:
                if (match := start.match(line)) is not None:
                    line, end = line[match.end() :], closing
                    break
            else:
                if (match := _LINE.match(line)) is not None:
                    lines.append(match[1])
                elif _PRELUDE.match(line) is None:
                    break
                continue
        inside, closing_mark, _ = line.partition(end)
        lines.append(inside)
        if closing_mark:
            end = None
    return lines
