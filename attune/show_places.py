"""A place of an unseen file, and what the editor shows there without and with the prompt."""

from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

if TYPE_CHECKING:
    from tuning.acceptance import ShownText

WIDTH = 60  # characters of a line of code


def place_text(shown: "ShownText") -> Text:
    """Three lines: the line with the cursor (│) and what the file says there, then both
    suggestions, right ones marked (✓)."""
    place = shown.place
    text, start = place.file.text, place.hole.start
    before = text[text.rfind("\n", 0, start) + 1 : start].lstrip()
    expected = text[start:]
    line = text.count("\n", 0, start) + 1
    lines = [
        Text(f"{Path(place.file.path).name}:{line}  ", style="bold")
        + Text(f"{before[-WIDTH:]}│{_one_line(expected.partition(chr(10))[0])}"),
        _suggestion("without the prompt", shown.without, expected),
        _suggestion("with the prompt", shown.with_prompt, expected),
    ]
    return Text("\n").join(lines)


def _suggestion(title: str, text: str, expected: str) -> Text:
    if not text:
        return Text(f"  {title:<18}  – nothing")
    right = expected.startswith(text)
    style = "green" if right else "red"
    return Text(f"  {title:<18}  ") + Text(f"{'✓' if right else '✗'} {_one_line(text)}", style)


def _one_line(code: str) -> str:
    first, _, rest = code.partition("\n")
    return first[:WIDTH] + ("…" if rest or len(first) > WIDTH else "")
