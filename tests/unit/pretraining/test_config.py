"""The recipes describe models that fit the wheel, and a schedule of the whole time."""

import tomllib
from pathlib import Path

import pytest
import torch

from code_context.languages import is_tunable
from code_model.block_quantisation import Scheme
from pretraining import train

FOLDER = Path(train.__file__).parent
SHIPPED_BYTES = 100_000_000  # of weights, in the wheel


@pytest.mark.parametrize(
    ("name", "scheme"), [("config.toml", "int8"), ("smollm2.toml", "int4"), ("tiny.toml", "int8")]
)
def test_a_recipe_fits_the_wheel_and_its_rows_the_model(name: str, scheme: Scheme) -> None:
    config = tomllib.loads((FOLDER / name).read_text(encoding="utf-8"))
    with torch.device("meta"):
        model = train.build_model(config)
    sizes = {"int8": 1 + 2 / 32, "int4": 0.5 + 2 / 32}
    stored = sum(
        parameter.numel() * sizes["int8" if "embed" in each else scheme]
        for each, parameter in model.named_parameters()
    )
    assert stored <= SHIPPED_BYTES
    stages = config["training"]["stages"]
    assert sum(share for share, _, _ in stages) == pytest.approx(1.0)
    assert max(length for _, length, _ in stages) <= config["model"]["max_position_embeddings"]
    assert config["data"].keys() == {
        "causal", "copy_random", "copy_code", "named", "with_snippets", "retrieved", "languages"
    }  # fmt: skip
    assert all(is_tunable(language) for language in config["data"]["languages"])


def test_all_recipes_train_on_the_same_rows() -> None:
    """The candidates differ in what they begin with, not in what they read."""
    recipes = [tomllib.loads(file.read_text(encoding="utf-8")) for file in FOLDER.glob("*.toml")]
    data = [recipe["data"] for recipe in recipes if "data" in recipe]
    assert len(data) == 3
    assert all(each == data[0] for each in data)
