"""Ignore files: `.gitignore` and `.attuneignore`, by git's rules, without backtracking.

An ignore file that cannot be understood may exclude anything, so its whole folder is excluded.
"""

import codecs
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from file_access.path_patterns import PatternPart, any_depth, matched_depths
from file_access.regular_file import read_regular_file

MAX_BYTES = 1 << 20
MAX_PATTERNS = 10_000
MAX_PATTERN = 1_000  # characters

_ENCODINGS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CLASSES = {
    "alnum": "a-zA-Z0-9", "alpha": "a-zA-Z", "blank": r" \t", "cntrl": r"\0-\x1f\x7f",
    "digit": "0-9", "graph": "!-~", "lower": "a-z", "print": " -~",
    "punct": r"!-/:-@\[-`{-~", "space": r" \t-\r", "upper": "A-Z", "xdigit": "0-9a-fA-F",
}  # fmt: skip


class IgnoreFileError(Exception):
    """The file cannot be understood; the message is the reason, in a few words."""


@dataclass(frozen=True)
class IgnorePattern:
    """One line of an ignore file. `parts` are for `matched_depths`."""

    parts: tuple[PatternPart, ...]
    negated: bool
    folders_only: bool

    def matches(self, parts: Sequence[str], *, is_folder: bool) -> bool:
        """Whether the path with these parts, from the ignore file's folder, matches as a whole."""
        if self.folders_only and not is_folder:
            return False
        if len(self.parts) == 2 and self.parts[0] is any_depth:  # most patterns are a name
            return bool(self.parts[1](parts[-1]))
        return any(depth == len(parts) for depth in matched_depths(parts, self.parts))


@dataclass(frozen=True)
class IgnoreFile:
    """The patterns of one ignore file, in order; the last one that matches decides."""

    patterns: tuple[IgnorePattern, ...]

    def ignores(self, parts: Sequence[str], *, is_folder: bool) -> bool | None:
        """Whether the path is ignored or, by a negated pattern, is not; None if neither is said.

        `parts` are those of the path from the file's folder. A path in an ignored folder is ignored
        too, so the caller asks for each folder on the way first.
        """
        for pattern in reversed(self.patterns):
            if pattern.matches(parts, is_folder=is_folder):
                return not pattern.negated
        return None


def read_ignore_file(path: Path) -> IgnoreFile | None:
    """The ignore file at `path`; None without one.

    It is UTF-8, or UTF-16 with a byte order mark. Raises `IgnoreFileError` if it is something else,
    too large, a link out of its folder, or no regular file.
    """
    try:
        content = read_regular_file(path, MAX_BYTES, within=path.parent)
    except FileNotFoundError:
        if path.is_symlink():
            raise IgnoreFileError("its link leads nowhere") from None
        return None
    except NotADirectoryError:
        return None
    except OSError as error:
        raise IgnoreFileError(str(error.strerror or error)) from None
    encoding = next((name for mark, name in _ENCODINGS if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        raise IgnoreFileError("it is not UTF-8") from None
    if "\0" in text:
        raise IgnoreFileError("it holds null characters")
    lines = text.split("\n")
    if len(lines) > MAX_PATTERNS:
        raise IgnoreFileError(f"it has more than {MAX_PATTERNS} lines")
    return IgnoreFile(tuple(filter(None, map(parse_pattern, lines))))


def parse_pattern(line: str) -> IgnorePattern | None:
    """The pattern of a line; None for a comment, an empty line or what git never matches.

    Raises `IgnoreFileError` for a pattern that is too long.
    """
    line = _without_trailing_spaces(line.removesuffix("\r"))
    if line.startswith("#"):
        return None
    negated = line.startswith("!")
    line = line.removeprefix("!")
    folders_only = line.endswith("/")
    line = line.removesuffix("/")
    if not line:
        return None
    if len(line) > MAX_PATTERN:
        raise IgnoreFileError(f"a pattern has more than {MAX_PATTERN} characters")
    anchored = "/" in line
    parts: list[PatternPart] = []
    for part in line.removeprefix("/").split("/"):
        matcher = any_depth if part == "**" and anchored else _part_matcher(part)
        if matcher is None:
            return None
        parts.append(matcher)
    if not anchored:
        parts.insert(0, any_depth)
    if parts[-1] is any_depth:
        parts.append(_any_name)  # what is inside a folder, not the folder itself
    return IgnorePattern(tuple(parts), negated, folders_only)


def _any_name(name: str) -> bool:
    return True


def _without_trailing_spaces(line: str) -> str:
    stripped = line.rstrip(" ")
    # a space behind an odd number of backslashes is part of the pattern
    n_backslashes = len(stripped) - len(stripped.rstrip("\\"))
    return stripped + " " if n_backslashes % 2 and stripped != line else stripped


def _part_matcher(part: str) -> PatternPart | None:
    """What one part of a pattern matches; None if it never matches anything."""
    if not set(part) & set("*?[\\"):
        return part.__eq__
    chunks, index = [""], 0  # expressions of fixed length, between the stars
    while index < len(part):
        character = part[index]
        index += 1
        if character == "*":
            chunks.append("")
        elif character == "?":
            chunks[-1] += "."
        elif character == "[":
            bracket = _bracket(part, index)
            if bracket is None:
                return None
            expression, index = bracket
            chunks[-1] += expression
        else:
            if character == "\\":
                if index == len(part):
                    return None
                character = part[index]
                index += 1
            chunks[-1] += re.escape(character)
    first, *others = chunks
    # The leftmost place for each chunk is as good as any, so an atomic group loses no match.
    middle = "".join(f"(?>.*?{chunk})" for chunk in others[:-1] if chunk)
    last = f".*{others[-1]}" if others else ""
    return re.compile(first + middle + last, re.DOTALL).fullmatch


def _bracket(part: str, index: int) -> tuple[str, int] | None:
    """The regular expression of the bracket that begins at `index`, and the index behind it.

    None if it is not closed, or names an unknown class.
    """
    negated = part[index : index + 1] in ("!", "^")
    index += negated
    members, start = "", index
    while part[index : index + 1] != "]" or index == start:
        if part.startswith("[:", index):
            end = part.find("]", index + 2)
            if end < 0:
                return None
            if part[end - 1] == ":" and end > index + 2:  # else the bracket is a member
                name = part[index + 2 : end - 1]
                if name not in _CLASSES:
                    return None
                members, index = members + _CLASSES[name], end + 1
                continue
        first, index = _member(part, index)
        last = first
        if part[index : index + 1] == "-" and part[index + 1 : index + 2] != "]":
            last, index = _member(part, index + 1)
        if not first or not last:
            return None
        last = max(first, last)  # git compares with the first character by itself too
        members += f"{re.escape(first)}-{re.escape(last)}"
    return f"[{'^' if negated else ''}{members}]", index + 1


def _member(part: str, index: int) -> tuple[str, int]:
    """The character at `index` in a bracket, empty at the end, and the index behind it."""
    index += part.startswith("\\", index)
    return part[index : index + 1], index + 1
