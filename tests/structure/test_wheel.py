"""The wheel holds the listed packages and nothing else."""

from pathlib import PurePosixPath

from hatchling.builders.wheel import WheelBuilder

from tests.structure.source import PACKAGES, ROOT

NOT_SHIPPED = {"benchmarks", "pretraining"}
SUFFIXES = {
    ".py",
    ".scm",
    ".cpp",
    ".h",
    ".toml",
    ".json",
    ".safetensors",
    ".md",
    ".html",
    ".css",
    ".js",
}


def shipped_paths() -> list[PurePosixPath]:
    """Every file of the wheel but its metadata."""
    builder = WheelBuilder(str(ROOT))
    return [PurePosixPath(file.distribution_path) for file in builder.recurse_included_files()]


def test_top_level_folders() -> None:
    assert {path.parts[0] for path in shipped_paths()} == set(PACKAGES) - NOT_SHIPPED


def test_kinds_of_files() -> None:
    assert {path.suffix for path in shipped_paths()} <= SUFFIXES
    assert not [path for path in shipped_paths() if "__pycache__" in path.parts]


def test_the_default_model_the_grammar_queries_and_the_page_templates_are_shipped() -> None:
    paths = {str(path) for path in shipped_paths()}
    for needed in (
        "code_model/default/model.safetensors",
        "code_model/default/tokenizer.json",
        "code_model/decoder/decode.cpp",
        "code_model/decoder/products.h",
        "code_model/decoder/quantised.h",
        "code_model/decoder/thread_pool.h",
        "code_model/decoder/vectors.h",
        "attune/pages/templates/report.html",
        "attune/pages/templates/why.html",
    ):
        assert needed in paths
    assert sum(path.endswith(".scm") for path in paths) >= 12
