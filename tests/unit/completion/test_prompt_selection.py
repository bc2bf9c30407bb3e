"""Which prompt a selector chooses, and what changes its version, with a fake router and check."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import pytest

from code_model.cancel import StepCancelledError
from completion.prompt_fit import PromptFitCheck
from completion.prompt_selection import PromptSelector
from completion.request import CompletionRequest
from prompts.file import PromptFile
from prompts.router import PromptRouter, RoutingResult

PROMPT = cast(PromptFile, object())
REQUEST = CompletionRequest("x", "page.html", 1, language_id="python")


@dataclass
class Router:
    """One prompt, which serves unless it does not fit."""

    asked: list[tuple[str | None, str | None]] = field(default_factory=list)

    def choose(
        self, path: str | None, language: str | None, misfit: Callable[[PromptFile], str | None]
    ) -> RoutingResult:
        self.asked.append((path, language))
        reason = misfit(PROMPT)
        return RoutingResult(None, reason) if reason is not None else RoutingResult(PROMPT, "")

    def stamp(self) -> tuple[object, ...]:
        return ()


@dataclass
class Check:
    """A prompt-fit check whose result is `reason` once it has run."""

    reason: str | None
    is_cancelled: bool = False
    has_run: bool = False

    def misfit(self, prompt: PromptFile, request: CompletionRequest) -> str | None:
        return self.reason if self.has_run else None

    def is_due(self, prompt: PromptFile, request: CompletionRequest) -> bool:
        return not self.has_run

    def check(
        self, prompt: PromptFile, request: CompletionRequest, cancelled: Callable[[], bool]
    ) -> bool:
        if self.is_cancelled:
            raise StepCancelledError
        self.has_run = True
        return self.reason is not None


def selector(router: Router, check: Check | None) -> PromptSelector:
    return PromptSelector(cast(PromptRouter, router), cast(PromptFitCheck | None, check))


@pytest.mark.parametrize("check", [None, Check(None)])
def test_the_path_and_the_editors_language_decide(check: Check | None) -> None:
    router = Router()
    chosen = selector(router, check)
    assert chosen.choose(REQUEST).prompt is PROMPT
    assert chosen.choose(CompletionRequest("x", "a.rb", 1)).prompt is PROMPT
    assert router.asked == [("page.html", "python"), ("a.rb", "ruby")]


def test_without_a_check_every_prompt_fits_and_nothing_changes() -> None:
    chosen = selector(Router(), None)
    before = chosen.version()
    assert chosen.check_fit(REQUEST, lambda: False) is False
    assert chosen.choose(REQUEST) == RoutingResult(PROMPT, "")
    assert chosen.version() == before


def test_a_prompt_that_does_not_fit_changes_the_version_once() -> None:
    chosen = selector(Router(), Check("it does not fit"))
    before = chosen.version()
    assert chosen.choose(REQUEST).prompt is PROMPT, "until the check has run"
    assert chosen.check_fit(REQUEST, lambda: False) is True
    changed = chosen.version()
    assert changed != before
    assert chosen.choose(REQUEST) == RoutingResult(None, "it does not fit")
    assert chosen.check_fit(REQUEST, lambda: False) is False
    assert chosen.version() == changed


def test_every_change_gives_another_version() -> None:
    """A third result is not that of the first, which a cache may still hold."""
    check = Check("it does not fit")
    chosen = selector(Router(), check)
    versions = [chosen.version()]
    for _ in range(3):
        check.has_run = False
        assert chosen.check_fit(REQUEST, lambda: False) is True
        versions.append(chosen.version())
    assert len(set(versions)) == 4


def test_a_prompt_that_fits_and_a_cancelled_check_change_nothing() -> None:
    for check in (Check(None), Check("it does not fit", is_cancelled=True)):
        chosen = selector(Router(), check)
        before = chosen.version()
        assert chosen.check_fit(REQUEST, lambda: False) is False
        assert chosen.version() == before
        assert chosen.choose(REQUEST).prompt is PROMPT
