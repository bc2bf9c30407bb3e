"""Both recipes describe a model that fits the wheel, and a schedule of the whole time."""

import tomllib
from pathlib import Path

import pytest
import torch

from pretraining import train

FOLDER = Path(train.__file__).parent
SHIPPED_BYTES = 48 * 2**20  # of bfloat16 weights, in the wheel


@pytest.mark.parametrize("name", ["config.toml", "cpu.toml"])
def test_a_recipe_fits_the_wheel_and_its_rows_the_model(name: str) -> None:
    config = tomllib.loads((FOLDER / name).read_text(encoding="utf-8"))
    with torch.device("meta"):
        model = train.build_model(config)
    assert 2 * sum(parameter.numel() for parameter in model.parameters()) <= SHIPPED_BYTES
    stages = config["training"]["stages"]
    assert sum(share for share, _, _ in stages) == pytest.approx(1.0)
    assert max(length for _, length, _ in stages) >= 2048
    assert max(length for _, length, _ in stages) <= config["model"]["max_position_embeddings"]
    assert config["data"].keys() == {
        "causal", "copy_random", "copy_code", "with_snippets", "retrieved"
    }  # fmt: skip
