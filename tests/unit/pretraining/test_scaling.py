"""The scaling fit finds the law that its points follow, and the size that a time trains best."""

import json
import tomllib
from pathlib import Path

import pytest

from benchmarks import pretraining_scaling_plot
from pretraining import scaling, train
from pretraining.scaling import Fit, Point, fit

LAW = Fit(e=0.6, a=90.0, b=110.0, c=3e11, p=0.8)


def points() -> list[Point]:
    sizes = [4e6, 1e7, 2.5e7, 6e7]
    speeds = [LAW.c / size**LAW.p for size in sizes]
    return [
        Point(int(size), int(90 * speed), speed, float(LAW.loss(size, 90.0)))
        for size, speed in zip(sizes, speeds, strict=True)
    ]


def test_the_law_of_the_points_is_found() -> None:
    found = fit(points())
    assert (found.e, found.a, found.b) == pytest.approx((LAW.e, LAW.a, LAW.b), rel=1e-3)
    assert (found.c, found.p) == pytest.approx((LAW.c, LAW.p), rel=1e-3)
    shorter, best, longer = (found.best(seconds) or 0 for seconds in (60.0, 960.0, 9600.0))
    assert 0 < shorter < best < longer
    assert found.loss(best, 960.0) <= min(found.loss(best * 2, 960.0), found.loss(best / 2, 960.0))


def test_runs_that_are_too_short_name_no_size() -> None:
    early = [Point(10**6 * 4**n, 9000 // 2**n, 100.0 / 2**n, 6.0 - 0.2 * n) for n in range(4)]
    assert fit(early).best(960.0) is None


def test_a_run_is_read_from_its_log(tmp_path: Path) -> None:
    steps = [{"tokens": 100 * n, "seconds": 2.0 * n, "loss": 9.0 - n / 10} for n in range(1, 21)]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(step) + "\n" for step in steps))
    assert scaling.point_of(tmp_path, 7) == Point(7, 2000, 50.0, pytest.approx(7.05))


@pytest.mark.parametrize("name", ["config.toml", "tiny.toml"])
def test_the_shapes_of_a_recipe_are_models(name: str) -> None:
    recipe = tomllib.loads(Path(scaling.__file__).with_name(name).read_text(encoding="utf-8"))
    sizes = [
        train.build_model(scaling.shaped(recipe, *shape)).num_parameters
        for shape in recipe["scaling"]["shapes"]
    ]
    assert len(sizes) >= 3
    assert sizes == sorted(sizes)
    assert sizes[-1] > 2 * sizes[0]


def test_the_fit_is_drawn(tmp_path: Path) -> None:
    results = {
        "points": [vars(point) for point in points()],
        "fit": vars(fit(points())),
        "minutes": 16,
    }
    (tmp_path / "scaling.json").write_text(json.dumps(results))
    pretraining_scaling_plot.draw(tmp_path / "scaling.json", tmp_path / "scaling.png")
    assert (tmp_path / "scaling.png").read_bytes().startswith(b"\x89PNG")
