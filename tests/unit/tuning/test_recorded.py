"""What a prompt file records of its run: all of it, within bounds, or the prompt is refused."""

from dataclasses import asdict, fields, replace
from pathlib import Path

import pytest

from prompts.file import read_manifest
from prompts.manifest import Manifest
from tests.unit.tuning.conftest import CONFIG
from tuning import controls
from tuning.config import TuningConfig
from tuning.corpus import CorpusError, SourceFile
from tuning.recorded import (
    RecordedRecipe,
    record,
    recorded_config,
    recorded_recipe,
    recorded_split,
)
from tuning.split import Split

ARTIFACT = Path(__file__).parents[2] / "artifacts" / "v1-kv.attune.safetensors"
FILES = tuple(SourceFile(f"{n}.py", "x = 1\n") for n in range(6))
SPLIT = Split(FILES[:3], FILES[3:4], FILES[4:])
# every field differs from the default, so that none can be forgotten
CONFIG_OF_ALL = TuningConfig(
    form="kv",
    num_virtual_tokens=16,
    keep_ratio=0.75,
    steps=9,
    learning_rate=0.2,
    warmup=0.1,
    weight_decay=0.5,
    ema_power=2.0,
    wise_ft_alpha=0.5,
    max_grad_norm=2.0,
    examples_per_step=3,
    max_tokens=100,
    held_out_tokens=90,
    causal_fraction=0.5,
    context_weight=0.1,
    retrieved=0.25,
    n_evaluations=3,
    patience=2,
    validation_holes=5,
    test_holes=7,
    proof_places=9,
    include=("src/**",),
    task="docstring",
    seed=11,
)


def manifest_of(config: TuningConfig) -> Manifest:
    return replace(
        read_manifest(ARTIFACT),
        form=config.form,
        num_virtual_tokens=config.num_virtual_tokens,
        globs=config.include,
        task=config.task,
        recipe=record(config, SPLIT, steps=6, total_steps=9, bfloat16=False),
    )


def test_the_configuration_of_a_run_is_recorded_whole() -> None:
    for name, value in asdict(CONFIG_OF_ALL).items():
        assert name == "minutes" or value != asdict(TuningConfig())[name], name
    manifest = manifest_of(CONFIG_OF_ALL)
    assert recorded_config(manifest) == CONFIG_OF_ALL
    again = Manifest.from_json(manifest.to_json())
    assert recorded_config(again) == CONFIG_OF_ALL
    assert recorded_recipe(again).steps == 6
    assert recorded_recipe(again).bfloat16 is False


@pytest.mark.parametrize("name", [field.name for field in fields(RecordedRecipe)])
def test_an_incomplete_recipe_is_refused(name: str) -> None:
    manifest = manifest_of(CONFIG)
    recipe = {key: value for key, value in manifest.recipe.items() if key != name}
    with pytest.raises(CorpusError, match=rf"\({name}\).*Tune it again"):
        recorded_config(replace(manifest, recipe=recipe))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seed", None),
        ("seed", -1),
        ("seed", 2**32),
        ("seed", True),
        ("seed", "1"),
        ("learning_rate", "much"),
        ("learning_rate", 1e9),
        ("total_steps", 10**9),
        ("examples_per_step", 2.5),
        ("bfloat16", 1),
        ("test_files", []),
        ("test_files", "abc"),
        ("test_files", ["../../etc"]),
        ("test_files", ["0123456789ab\n"]),
        ("validation_files", ["0123456789ab"] * 5000),
    ],
)
def test_a_recipe_out_of_bounds_is_refused(name: str, value: object) -> None:
    manifest = manifest_of(CONFIG)
    with pytest.raises(CorpusError, match=rf"\({name}\).*Tune it again"):
        recorded_config(replace(manifest, recipe={**manifest.recipe, name: value}))


def test_a_prompt_of_an_older_release_is_refused() -> None:
    """It stays readable, and usable as a control; its run cannot be repeated."""
    manifest = manifest_of(CONFIG)
    older = {name: value for name, value in manifest.recipe.items() if name != "keep_ratio"}
    with pytest.raises(CorpusError, match=r"\(keep_ratio\).*an older release"):
        recorded_config(replace(manifest, recipe=older))


@pytest.mark.parametrize("control", sorted(controls.FOLDER.glob("*.attune.safetensors")))
def test_the_runs_of_the_shipped_controls_can_be_repeated(control: Path) -> None:
    config = recorded_config(read_manifest(control))
    assert config.steps is not None
    assert replace(config, steps=None) == TuningConfig()


def test_a_task_of_a_later_release_is_refused() -> None:
    with pytest.raises(CorpusError, match="update Attune"):
        recorded_config(replace(manifest_of(CONFIG), task="review"))


def test_what_was_held_out_stays_held_out() -> None:
    manifest = manifest_of(CONFIG)
    assert recorded_split(FILES, manifest) == SPLIT
    more = (*FILES, SourceFile("new.py", "y = 2\n"))
    again = recorded_split(more, manifest)
    assert (again.validation, again.test) == (SPLIT.validation, SPLIT.test)
    assert again.train[-1].path == "new.py"
    for missing in (FILES[3:], FILES[:4], (*FILES[:3], *FILES[4:])):
        with pytest.raises(CorpusError, match="are not here"):
            recorded_split(missing, manifest)
