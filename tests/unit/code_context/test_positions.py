"""Positions: one place, four units, and every round trip exact."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from code_context.positions import LineIndex, PositionError, code_points, utf8_bytes, utf16_units

TEXTS = st.text(
    alphabet=st.sampled_from("ab \t\r\n\fé€😀\u2028\u0301_(x") | st.characters(), max_size=60
)


@given(TEXTS, st.data())
def test_utf16_round_trip(text: str, data: st.DataObject) -> None:
    index = LineIndex(text)
    offset = data.draw(st.integers(0, len(text)))
    line, character = index.to_utf16(offset)
    back = index.from_utf16(line, character)
    # a position behind \r of \r\n is clamped to the end of the line's content
    inside_ending = offset > index.content_end(line)
    assert back == (index.content_end(line) if inside_ending else offset)


@given(TEXTS, st.data())
def test_byte_round_trip(text: str, data: st.DataObject) -> None:
    index = LineIndex(text)
    offset = data.draw(st.integers(0, len(text)))
    byte = index.to_byte(offset)
    assert byte == utf8_bytes(text[:offset])
    assert index.from_byte(byte) == offset


@given(TEXTS, st.data())
def test_a_byte_inside_a_character_is_that_character(text: str, data: st.DataObject) -> None:
    index = LineIndex(text)
    byte = data.draw(st.integers(0, utf8_bytes(text)))
    offset = index.from_byte(byte)
    assert utf8_bytes(text[:offset]) <= byte
    assert byte < utf8_bytes(text[: offset + 1]) or offset == len(text)


@given(TEXTS, st.integers(-2, 99), st.integers(0, 99))
def test_any_lsp_position_is_clamped_into_the_text(text: str, line: int, character: int) -> None:
    index = LineIndex(text)
    offset = index.from_utf16(line, character)
    assert 0 <= offset <= len(text)
    if 0 <= line < index.line_count:
        assert index.starts[line] <= offset <= index.content_end(line)


@given(TEXTS)
def test_lines_cover_the_text(text: str) -> None:
    index = LineIndex(text)
    ends = [*index.starts[1:], len(text)]
    assert "".join(text[a:b] for a, b in zip(index.starts, ends, strict=True)) == text
    assert all(not set(index.line_text(n)) & {"\r", "\n"} for n in range(index.line_count))


@given(TEXTS, TEXTS, st.data())
def test_an_edited_index_is_that_of_the_new_text(
    text: str, inserted: str, data: st.DataObject
) -> None:
    start, end = sorted(
        (data.draw(st.integers(0, len(text))), data.draw(st.integers(0, len(text))))
    )
    after = text[:start] + inserted + text[end:]
    edited = LineIndex(text).edited(start, end, inserted)
    assert (edited.text, edited.starts) == (after, LineIndex(after).starts)


@pytest.mark.parametrize(
    ("text", "start", "end", "inserted"),
    [
        ("a\r\nb", 2, 2, "x"),  # splits a line ending
        ("a\rb\nc", 2, 3, ""),  # makes one of two
        ("a\rb", 2, 2, "\n"),
        ("a\nb", 1, 1, "\r"),
        ("a\r\nb", 1, 2, ""),
        ("a\r\nb", 2, 3, ""),
        ("", 0, 0, "\r\n"),
    ],
)
def test_halves_of_line_endings_meet_and_part(
    text: str, start: int, end: int, inserted: str
) -> None:
    after = text[:start] + inserted + text[end:]
    assert LineIndex(text).edited(start, end, inserted).starts == LineIndex(after).starts


def test_utf16_counts_a_surrogate_pair_as_two() -> None:
    index = LineIndex("a😀b\nc")
    assert index.to_utf16(2) == (0, 3)
    assert index.from_utf16(0, 3) == 2
    assert index.from_utf16(0, 2) == 1, "inside the pair: its start"
    assert utf16_units("a😀") == 3


def test_lone_surrogates_and_the_last_character_of_one_unit() -> None:
    index = LineIndex("\ud83da\uffffb\néa\n")
    assert [index.from_utf16(0, units) for units in range(6)] == [0, 1, 2, 3, 4, 4]
    assert index.to_utf16(4) == (0, 4)
    assert [index.to_byte(offset) for offset in range(5)] == [0, 3, 4, 7, 8]
    assert [index.from_byte(byte) for byte in (0, 1, 2, 3, 4, 7, 8)] == [0, 0, 0, 1, 2, 3, 4]
    assert code_points("\ud83da", 1) == 1


def test_lines_outside_the_text_mean_its_start_and_end() -> None:
    index = LineIndex("a\nbc\n")
    assert (index.from_utf16(-1, 1), index.from_utf16(3, 0), index.from_utf16(2, 5)) == (0, 5, 5)
    assert [index.from_utf16(1, character) for character in (-1, 0, 1, 2, 3)] == [2, 2, 3, 4, 4]


def test_editor_positions_are_one_based() -> None:
    index = LineIndex("ab\r\ncd")
    assert index.from_editor(2, 1) == 4
    assert index.from_editor(1, 3) == 2
    with pytest.raises(PositionError, match="line 3 does not exist; the file has 2 lines"):
        index.from_editor(3, 1)
    with pytest.raises(PositionError, match="column 4 does not exist; line 1 ends at column 3"):
        index.from_editor(1, 4)
    with pytest.raises(PositionError, match="column 4 does not exist; line 2 ends at column 3"):
        index.from_editor(2, 4)


def test_code_points_of_utf16_units():
    assert [code_points("a😀b", units) for units in (-1, 0, 1, 3, 4, 99)] == [0, 0, 1, 2, 3, 3]
