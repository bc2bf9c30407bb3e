"""The study of layouts in a short form."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import layout_study
from benchmarks.layout_study import PLAIN, SUFFIX, compared, measure
from tests.unit.benchmarks.test_tuning import CONFIG as SMALL

CONFIG = replace(SMALL, held_out_tokens=400)  # else there is no room for what follows


def test_the_layouts_are_measured_on_the_same_holes(
    tiny_model: Path, repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain, suffix = (
        measure(tiny_model, layout, repository, CONFIG, tmp_path) for layout in (PLAIN, SUFFIX)
    )
    result = compared(plain, suffix)
    assert result["holes"] == CONFIG.test_holes
    assert len(list(tmp_path.glob("prompts/*"))) == 2  # one for each layout
    measure(tiny_model, PLAIN, repository, CONFIG, tmp_path)
    assert len(list(tmp_path.glob("prompts/*"))) == 2
    alone = result["bits_per_byte"]["no prompt + alone"]
    assert alone[PLAIN] != alone[SUFFIX]  # what follows is really there
    saved = 1 - alone[SUFFIX] / alone[PLAIN]
    assert alone["saved"][0] == pytest.approx(saved, abs=1e-3)
    layout_study.show(result)
    assert "characters saved at equal wrong ones" in capsys.readouterr().out
    with pytest.raises(ValueError, match="different holes"):
        compared(plain, replace(suffix, holes=suffix.holes[1:]))
