"""Which size a given time trains best: several shapes, each trained for the same short time.

The loss of a model of N parameters after D tokens is taken as E + A / N^0.34 + B / D^0.28 (arXiv
2203.15556, approach 3); E, A and B are fitted to the runs. The tokens of a second fall with a power
of N that is fitted too. Together they give the loss of every size after any time.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pretraining import train

N_POWER, D_POWER = 0.34, 0.28
HEAD = 64  # dimensions
LAST = 0.1  # the part of a run, at its end, whose mean loss counts


@dataclass(frozen=True)
class Point:
    """One run: parameters, tokens seen, tokens a second, and its last loss in nats per token."""

    parameters: int
    tokens: int
    speed: float
    loss: float


@dataclass(frozen=True)
class Fit:
    """Loss E + A / N^0.34 + B / D^0.28, and tokens a second C / N^p."""

    e: float
    a: float
    b: float
    c: float
    p: float

    def loss(self, parameters: NDArray[np.float64], seconds: float) -> NDArray[np.float64]:
        """Nats per token of sizes that are trained for so long."""
        tokens = seconds * self.c / parameters**self.p
        expected: NDArray[np.float64] = (
            self.e + self.a / parameters**N_POWER + self.b / tokens**D_POWER
        )
        return expected

    def best(self, seconds: float) -> int | None:
        """The number of parameters with the lowest loss after so long.

        None where the runs were too short to tell: by their fit, more tokens or parameters harm.
        """
        if self.a <= 0 or self.b <= 0:
            return None
        sizes = np.geomspace(1e4, 1e10, 600)
        return int(sizes[self.loss(sizes, seconds).argmin()])


def fit(points: Sequence[Point]) -> Fit:
    """The fit of at least three runs of different sizes, by least squares."""
    n = np.array([point.parameters for point in points], float)
    d = np.array([point.tokens for point in points], float)
    losses = np.array([point.loss for point in points])
    columns = np.stack((np.ones_like(n), n**-N_POWER, d**-D_POWER), axis=1)
    e, a, b = np.linalg.lstsq(columns, losses, rcond=None)[0]
    slope, level = np.polyfit(np.log(n), np.log([point.speed for point in points]), 1)
    return Fit(float(e), float(a), float(b), float(np.exp(level)), float(-slope))


def shaped(config: Mapping[str, Any], width: int, layers: int) -> dict[str, Any]:
    """A config with another shape, trained for the time of the scaling runs."""
    heads = max(1, width // HEAD)
    shape = {
        "hidden_size": width,
        "intermediate_size": -(-8 * width // (3 * 64)) * 64,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": heads // 2 if heads % 2 == 0 else heads,
    }
    minutes = config["scaling"]["minutes"]
    return {
        **config,
        "model": config["model"] | shape,
        "training": config["training"] | {"minutes": minutes},
    }


def measure(folder: Path, config: dict[str, Any], tokenizer: Path) -> dict[str, Any]:
    """Train every shape of the config unless it is trained, and write `scaling.json`.

    Raises what `pretraining.train.train` does.
    """
    points = []
    for width, layers in config["scaling"]["shapes"]:
        name, one = f"scaling-{width}x{layers}", shaped(config, width, layers)
        (folder / name).mkdir(exist_ok=True)
        (folder / name / "tokenizer.json").write_bytes(tokenizer.read_bytes())
        train.train(folder, one, name)
        points.append(point_of(folder / name, train.build_model(one).num_parameters))
    found = fit(points)
    seconds = 60.0 * config["training"]["minutes"]
    results = {
        "points": [asdict(point) for point in points],
        "fit": asdict(found),
        "minutes": config["training"]["minutes"],
        "best": found.best(seconds),
    }
    (folder / "scaling.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return results


def point_of(run: Path, parameters: int) -> Point:
    """The point of a finished run, by its log."""
    lines = (run / "log.jsonl").read_text(encoding="utf-8").splitlines()
    steps = [json.loads(line) for line in lines]
    last = steps[-max(1, int(LAST * len(steps))) :]
    loss = sum(step["loss"] for step in last) / len(last)
    tokens, seconds = steps[-1]["tokens"], max(steps[-1]["seconds"], 1e-9)
    return Point(parameters, tokens, tokens / seconds, loss)
