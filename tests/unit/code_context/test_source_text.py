"""Bytes of source files become text, or are refused with a reason."""

import pytest

from code_context.source_text import UndecodableTextError, decode_source

COOKIE = "# -*- coding: latin-1 -*-\nx = 'é'\n"
VIM_COOKIE = "#!/bin/python\n# vim: set fileencoding=cp1252 :\nx = '€'\n"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"x = 1\n", "x = 1\n"),
        (b"\xef\xbb\xbfx = 1\n", "x = 1\n"),
        ("x = 'é'\n".encode(), "x = 'é'\n"),
        (COOKIE.encode("latin-1"), COOKIE),
        (VIM_COOKIE.encode("cp1252"), VIM_COOKIE),
        ("# coding: shift_jis\n日本".encode("shift_jis"), "# coding: shift_jis\n日本"),
        # what is valid UTF-8 is UTF-8, whatever an old cookie says
        ("# coding: latin-1\né".encode(), "# coding: latin-1\né"),
    ],
)
def test_text_is_decoded_as_editors_do(content: bytes, text: str) -> None:
    assert decode_source(content) == text


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("x = 1".encode("utf-16"), "UTF-16"),
        ("x = 1".encode("utf-16-be").join((b"\xfe\xff", b"")), "UTF-16"),
        ("x = 1".encode("utf-32"), "UTF-16"),
        (b"x = '\xe9'\n", "not UTF-8"),
        (b"\n\n# coding: latin-1\n\xe9", "not UTF-8"),
        (b"# coding: nonsense\n\xe9", "not UTF-8"),
        # transformations that Python counts among its encodings
        (b"# coding: rot13\n\xe9", "not UTF-8"),
        (b"# coding: unicode_escape\n\xe9", "not UTF-8"),
        (b"# coding: punycode\n\xe9", "not UTF-8"),
        (b"# coding: zlib\n\xe9", "not UTF-8"),
        (b"# coding: shift_jis\n\xff\xff", "not shift_jis, as its coding cookie says"),
    ],
)
def test_other_bytes_are_refused(content: bytes, reason: str) -> None:
    with pytest.raises(UndecodableTextError, match=f"^{reason}$"):
        decode_source(content)
