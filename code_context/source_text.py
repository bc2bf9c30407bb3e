"""Decode the bytes of a source file as an editor does."""

import codecs
import re

_UTF_16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)  # UTF-32 begins with one of them too
UTF_16 = "UTF-16"
_COOKIE = re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)", re.ASCII)
_ENCODINGS = re.compile(
    r"iso8859-\d+|cp\d+|koi8-[rtu]|mac-\w+|gbk|gb2312|gb18030|big5\w*|euc_\w+|shift_jis\w*|johab|hz"
)
"""Encodings of text; Python has others, whose decoders are slow or transform the text."""


class UndecodableTextError(ValueError):
    """The bytes are no text that can be read; the message is the reason, in a few words."""


def with_line_feeds(text: str) -> str:
    """The text with `\\n` at the end of every line: the only line ending that models see."""
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def decode_source(content: bytes) -> str:
    """The text of a source file, without its byte order mark.

    It is UTF-8, or in the encoding that a coding cookie in its first two lines names (PEP 263).
    Raises `UndecodableTextError`.
    """
    if content.startswith(_UTF_16_MARKS):
        raise UndecodableTextError(UTF_16)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        pass
    encoding = _cookie(content)
    if encoding is None:
        raise UndecodableTextError("not UTF-8")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        raise UndecodableTextError(f"not {encoding}, as its coding cookie says") from None


def _cookie(content: bytes) -> str | None:
    """The encoding that the first or second line names, if it is one of text."""
    for line in content[:1000].splitlines()[:2]:
        if (match := _COOKIE.match(line)) is not None:
            try:
                name = codecs.lookup(match[1].decode("ascii")).name
            except (LookupError, UnicodeDecodeError):
                return None
            return name if _ENCODINGS.fullmatch(name) else None
    return None
