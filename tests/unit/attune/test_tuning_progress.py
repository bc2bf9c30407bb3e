"""Progress of a tuning run: places as they come, lines where there is no terminal."""

import json

import pytest

from attune import tuning_progress
from attune.show_places import place_text
from attune.tuning_progress import ALIKE_PLACES, SHOWN_PLACES, progress_display
from code_context.holes import Hole
from tuning.acceptance import Place, ShownText
from tuning.corpus import SourceFile
from tuning.progress import EVALUATE, TRAIN, Progress

TEXT = "def area(side):\n    return side * side\n"
START = TEXT.index("side * side")
PLACE = Place(SourceFile("src/shapes.py", TEXT), Hole("line_end", START, len(TEXT) - 1))


def test_a_place_shows_the_line_and_both_suggestions() -> None:
    shown = ShownText(PLACE, "sides * 2\n    x = 1", "side * ")
    assert place_text(shown).plain == (
        "shapes.py:2  return │side * side\n"
        "  without the prompt  ✗ sides * 2…\n"
        "  with the prompt     ✓ side * "
    )
    assert place_text(ShownText(PLACE, "", "side")).plain.split("\n")[1] == (
        "  without the prompt  – nothing"
    )


def said(progress: list[Progress], capsys: pytest.CaptureFixture[str]) -> list[str]:
    with progress_display(json_lines=False) as on_progress:
        for each in progress:
            on_progress(each)
    return capsys.readouterr().err.splitlines()


def test_where_there_is_no_terminal_a_line_comes_every_ten_seconds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = iter(float(second) for second in range(0, 1000, 2))
    monkeypatch.setattr(tuning_progress, "monotonic", lambda: next(now))  # asked twice each time
    lines = said([Progress(TRAIN, n / 100) for n in range(0, 50, 10)], capsys)
    assert lines == ["Tuning: 0 %", "Tuning: 30 %, 28 s left"]


def test_a_new_phase_is_said_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    lines = said([Progress(TRAIN, 0.9), Progress(EVALUATE, 0.0)], capsys)
    assert lines == ["Tuning: 90 %", "Proving it on unseen files: 0 %"]


def test_places_that_differ_are_shown_first_of_all(capsys: pytest.CaptureFixture[str]) -> None:
    alike, differing = ShownText(PLACE, "side", "side"), ShownText(PLACE, "", "side")
    nothing = ShownText(PLACE, "", "")
    texts = [nothing] * 5 + [alike] * 20 + [differing] * 20
    lines = said([Progress(EVALUATE, 0.5, shown=text) for text in texts], capsys)
    without = [line for line in lines if "without the prompt" in line]
    assert sum("nothing" in line for line in without) == SHOWN_PLACES - ALIKE_PLACES
    assert sum("✓ side" in line for line in without) == ALIKE_PLACES


def test_json_lines_hold_no_code(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_display(json_lines=True) as on_progress:
        on_progress(Progress(EVALUATE, 0.25, shown=ShownText(PLACE, "secret_1", "secret_2")))
    err = capsys.readouterr().err
    assert json.loads(err)["done"] == 0.25
    assert "secret" not in err
    assert "side" not in err
