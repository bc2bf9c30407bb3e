"""The lists: every language has packages on both sides, and none is on two."""

import re

import pytest

from pretraining import package_lists
from pretraining.corpus import LANGUAGES


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_package_is_on_one_side_only_at_an_exact_version(language: str) -> None:
    packages = package_lists.listed()[language]
    names = [package.name for package in packages]
    assert len(names) == len(set(names))
    assert sum(package.held_out for package in packages) >= 4
    assert sum(not package.held_out for package in packages) >= 50
    assert all(re.fullmatch(r"[\w.:+~-]*\d[\w.:+~-]*", package.version) for package in packages)
    assert {package.language for package in packages} == {language}


def test_the_packages_that_figures_were_published_for_stay_held_out() -> None:
    assert list(package_lists.held_out())[:8] == [
        "click", "rich", "httpx", "networkx", "celery", "black", "peft", "huggingface-hub",
    ]  # fmt: skip


@pytest.mark.parametrize("limit", [1, 7, 10_000])
def test_a_rehearsal_has_all_held_out_packages_and_some_from_everywhere(limit: int) -> None:
    full, some = package_lists.listed(), package_lists.listed(limit)
    for language in LANGUAGES:
        training = [each for each in full[language] if not each.held_out]
        chosen = [each for each in some[language] if not each.held_out]
        assert set(chosen) <= set(training)
        library = language == "python"
        assert len(chosen) == min(limit + library, len(training))
        assert [each for each in some[language] if each.held_out] == [
            each for each in full[language] if each.held_out
        ]
        assert package_lists.digest(some, language) == package_lists.digest(full, language) or (
            len(chosen) < len(training)
        )
