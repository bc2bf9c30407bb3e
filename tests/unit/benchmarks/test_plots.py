"""Every plot is drawn from the published results."""

import json
from pathlib import Path

from benchmarks import acceptance_plot, latency_plot, pretraining_plot, tuning_plot

PNG = b"\x89PNG"


def test_acceptance(tmp_path: Path) -> None:
    acceptance_plot.draw(acceptance_plot.RESULTS, tmp_path / "images" / "acceptance.png")
    assert (tmp_path / "images" / "acceptance.png").read_bytes().startswith(PNG)


def test_latency(tmp_path: Path) -> None:
    latency_plot.draw(latency_plot.RESULTS, tmp_path / "images" / "latency.png")
    assert (tmp_path / "images" / "latency.png").read_bytes().startswith(PNG)


def test_latency_with_the_large_shape(tmp_path: Path) -> None:
    results = json.loads(latency_plot.RESULTS.read_text(encoding="utf-8"))
    results["0.5B"] = results["default"][:2]
    (tmp_path / "latency.json").write_text(json.dumps(results))
    latency_plot.draw(tmp_path / "latency.json", tmp_path / "latency.png")
    assert (tmp_path / "latency.png").read_bytes().startswith(PNG)


def test_tuning(tmp_path: Path) -> None:
    tuning_plot.draw(tuning_plot.RESULTS, tmp_path)
    for name in ("tuning.png", "fitting.png"):
        assert (tmp_path / name).read_bytes().startswith(PNG)


def test_a_run_continues_the_token_count_of_the_run_before(tmp_path: Path) -> None:
    for name, losses in (("first", [4.0, 2.0]), ("second", [2.0, 1.0])):
        (tmp_path / name).mkdir()
        lines = [
            json.dumps({"tokens": 1_000_000 * (n + 1), "loss": loss})
            for n, loss in enumerate(losses)
        ]
        (tmp_path / name / "log.jsonl").write_text("\n".join(lines) + "\n")
    assert pretraining_plot.curve(tmp_path / "first", 0) == ([2.0], [3.0], 2_000_000)
    assert pretraining_plot.curve(tmp_path / "second", 2_000_000) == ([4.0], [1.5], 4_000_000)
    runs = [tmp_path / "first", tmp_path / "second"]
    pretraining_plot.draw(runs, 0, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(PNG)
