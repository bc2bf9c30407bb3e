"""The benchmark of quantised weights in a short form, with the tiny model."""

import json
from pathlib import Path

import pytest

from benchmarks import quantisation
from code_model.block_quantisation import SCHEMES


def test_a_short_run(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantisation, "repositories", lambda cache, names: {"one": repository})
    out = tmp_path / "quantisation.json"
    quantisation.main(
        ["--packages", "one", "--windows", "4", "--places", "12", "--cache", str(tmp_path),
         "--results", str(out)]
    )  # fmt: skip
    figures = json.loads(out.read_text())
    assert (figures["windows"], figures["places"]) == (4, 12)
    rows = figures["precisions"]
    assert set(rows) == {quantisation.FULL, *SCHEMES}
    full, int8 = (rows[name]["bits_per_byte"] for name in (quantisation.FULL, "int8"))
    assert int8 != full
    assert int8 == pytest.approx(full, rel=0.02)
    assert rows[quantisation.FULL]["saved_at_equal_wrong"]["gain"] == 0.0
