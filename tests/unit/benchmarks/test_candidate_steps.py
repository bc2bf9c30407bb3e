"""The steps of the candidates, in a short form."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import candidate_steps
from benchmarks.candidate_steps import CANDIDATES, RECIPES, UNROUNDED, config_of, main
from benchmarks.instruction_sets import TOKENS
from code_model.decoder import compiler


@pytest.mark.skipif(compiler.find_compiler() is None, reason="no C++ compiler")
def test_a_short_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = [
        replace(config_of(RECIPES / "tiny.toml"), max_position_embeddings=1024, vocab_size=size)
        for size in (301, 302)
    ]
    shapes = iter(small)
    monkeypatch.setattr(candidate_steps, "config_of", lambda recipe: next(shapes))
    out = tmp_path / "steps.json"
    main(["--turns", "3", "--out", str(out)])
    rows = json.loads(out.read_text())
    assert list(rows) == [UNROUNDED, "shipped", *CANDIDATES]
    for row in rows.values():
        assert len(row) == len(TOKENS)
        assert all(0 < low <= middle <= high for low, middle, high in row)
    assert f"{UNROUNDED}: 1.00, 1.00, 1.00" in capsys.readouterr().out


def test_the_shapes_are_those_of_the_recipes() -> None:
    sizes = {name: config_of(RECIPES / recipe) for name, (recipe, _) in CANDIDATES.items()}
    assert [(each.hidden_size, each.num_hidden_layers) for each in sizes.values()] == [
        (512, 14), (576, 30),
    ]  # fmt: skip
