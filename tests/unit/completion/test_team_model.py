"""An editor gets this machine's answer where the server gives none, and is told which it is."""

from collections.abc import Callable, Hashable
from pathlib import Path

import pytest

from code_model.language_model import (
    Generation,
    ModelUnreachableError,
    PromptUnservedError,
)
from completion.completion_model import Computation, RepositoryModel
from completion.request import CompletionRequest, CompletionResult
from completion.status import Status, StatusListener
from completion.team_model import FIRST_PAUSE_S, LONGEST_PAUSE_S, Pauses, TeamModel, TeamServerName

REQUEST = CompletionRequest("a = ", "a.py", 4)
GENERATION = Generation((1,), "x", (-0.1,), "stop", 1)
PATIENT_S = 60.0


class Scripted(RepositoryModel):
    """Answers with its name, or does what `behaviour` does."""

    def __init__(self, name: str, report: StatusListener) -> None:
        self.name = name
        self.behaviour: Callable[[Computation], CompletionResult] | None = None
        self.calls: list[str] = []
        report(Status("Normal", False, "Ready without a prompt."))

    def complete(self, request: CompletionRequest, computation: Computation) -> CompletionResult:
        self.calls.append("complete")
        if self.behaviour is not None:
            return self.behaviour(computation)
        return CompletionResult(self.name, generation=GENERATION)

    def warm(self, request: CompletionRequest, computation: Computation) -> None:
        self.calls.append("warm")
        if self.behaviour is not None:
            self.behaviour(computation)

    def check_fit(self, request: CompletionRequest, computation: Computation) -> None:
        self.calls.append("check_fit")

    def version(self, request: CompletionRequest) -> Hashable:
        return self.name

    def refresh(self) -> None:
        self.calls.append("refresh")

    def add_root(self, root: Path) -> None:
        self.calls.append("add_root")

    def folders(self) -> set[Path]:
        return {Path(self.name)}


class Team:
    """A `TeamModel` over two scripted models, with a clock that the test moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.statuses: list[Status] = []
        self.opened: dict[str, Scripted] = {}

        def open_as(name: str) -> Callable[[StatusListener], RepositoryModel]:
            def open_model(report: StatusListener) -> RepositoryModel:
                self.opened[name] = Scripted(name, report)
                return self.opened[name]

            return open_model

        server = TeamServerName("llm.example.com", "small", PATIENT_S)
        pauses = Pauses(lambda: self.now, lambda: 0.5)
        self.model = TeamModel(
            open_as("remote"), open_as("local"), server, self.statuses.append, pauses
        )
        self.remote, self.local = self.opened["remote"], self.opened["local"]

    def complete(self) -> CompletionResult:
        return self.model.complete(REQUEST, Computation(self.model.timeout_s(REQUEST)))

    @property
    def status(self) -> Status:
        return self.statuses[-1]


def unreachable(computation: Computation) -> CompletionResult:
    raise ModelUnreachableError("it cannot be reached")


def lacks_the_prompt(computation: Computation) -> CompletionResult:
    raise PromptUnservedError("it cannot serve this soft prompt")


def too_slow(computation: Computation) -> CompletionResult:
    computation.time_out()  # as the event loop does
    return CompletionResult("", "cancelled")


def overtaken(computation: Computation) -> CompletionResult:
    computation.cancel()
    computation.time_out()  # too late to say anything of the server
    return CompletionResult("", "cancelled")


def test_the_server_answers() -> None:
    team = Team()
    assert team.complete().text == "remote"
    assert team.local.calls == []
    assert team.status.kind == "Normal"
    assert "on the team server llm.example.com" in team.status.message
    assert not team.model.looks_ahead


def test_a_request_that_came_before_the_server_was_known_gets_its_time_too() -> None:
    team, limits = Team(), list[float]()
    computation = Computation()
    computation.on_limit = limits.append
    assert team.model.complete(REQUEST, computation).text == "remote"
    assert limits == [PATIENT_S]


def test_this_machine_answers_where_the_server_fails_and_the_status_says_so() -> None:
    team = Team()
    before = team.model.version(REQUEST)
    team.remote.behaviour = unreachable
    assert team.complete().text == "local"
    assert (team.status.kind, team.status.model) == ("Warning", "small")
    assert "llm.example.com does not serve: it cannot be reached" in team.status.message
    assert team.model.version(REQUEST) != before  # no cached answer of the other model is shown
    assert team.model.looks_ahead


def test_a_server_that_failed_is_left_alone_and_asked_again() -> None:
    team = Team()
    team.remote.behaviour = unreachable
    for pause in (FIRST_PAUSE_S, 2 * FIRST_PAUSE_S, 4 * FIRST_PAUSE_S):
        asked = len(team.remote.calls)
        assert team.complete().text == team.complete().text == "local"
        assert len(team.remote.calls) == asked + 1
        team.now += pause
    team.remote.behaviour = None
    assert team.complete().text == "remote"
    assert team.status.kind == "Normal"
    team.remote.behaviour = unreachable
    team.complete()
    team.now += FIRST_PAUSE_S  # short again
    team.remote.behaviour = None
    assert team.complete().text == "remote"


@pytest.mark.parametrize(("chance", "factor"), [(0.0, 0.8), (1.0, 1.2)])
def test_pauses_have_an_upper_bound_and_differ(chance: float, factor: float) -> None:
    now = 0.0
    pauses = Pauses(lambda: now, lambda: chance)
    for _ in range(2000):
        pauses.failed()
    now = factor * LONGEST_PAUSE_S - 0.01
    assert not pauses.is_over
    now += 0.02
    assert pauses.is_over


def test_a_server_that_lacks_a_prompt_goes_on_serving_others() -> None:
    team = Team()
    team.remote.behaviour = lacks_the_prompt
    assert team.complete().text == "local"
    assert "cannot serve this soft prompt" in team.status.message
    team.remote.behaviour = None
    assert team.complete().text == "remote"
    assert team.status.kind == "Normal"


def test_a_server_that_is_too_slow_counts_as_one_that_fails() -> None:
    team = Team()
    team.remote.behaviour = too_slow
    assert team.complete().reason == "timed_out"
    assert "longer than 60000 ms" in team.status.message
    assert team.complete().text == "local"


def test_only_a_request_that_may_ask_the_server_is_limited() -> None:
    """What this machine computes without it may take as long as it takes."""
    team = Team()
    assert team.model.timeout_s(REQUEST) == PATIENT_S
    team.remote.behaviour = unreachable
    team.complete()
    assert team.model.timeout_s(REQUEST) is None
    team.now += FIRST_PAUSE_S
    assert team.model.timeout_s(REQUEST) == PATIENT_S
    # its limit is that of the moment when it came, also if the pause has ended since
    assert team.model.complete(REQUEST, Computation(None)).text == "local"


def test_nor_does_an_editor_wait_for_this_machine() -> None:
    team = Team()
    team.remote.behaviour = unreachable
    team.local.behaviour = too_slow
    assert team.complete().reason == "timed_out"


def test_a_request_that_nobody_waits_for_says_nothing_of_the_server() -> None:
    team = Team()
    team.remote.behaviour = overtaken
    assert team.complete().reason == "cancelled"
    assert team.status.kind == "Normal"
    team.remote.behaviour = None
    assert team.complete().text == "remote"


def test_a_document_is_warmed_where_it_will_be_completed() -> None:
    team = Team()
    team.model.warm(REQUEST, Computation())
    assert (team.remote.calls, team.local.calls) == (["warm"], [])
    team.remote.behaviour = unreachable
    for _ in range(2):
        team.model.warm(REQUEST, Computation())
    assert (team.remote.calls, team.local.calls) == (["warm", "warm"], ["warm", "warm"])


@pytest.mark.parametrize("method", ["refresh", "add_root"])
def test_both_follow_the_prompts_of_repositories(method: str) -> None:
    team = Team()
    getattr(team.model, method)(*([Path()] if method == "add_root" else []))
    assert team.remote.calls == team.local.calls == [method]
    assert team.model.folders() == {Path("remote"), Path("local")}
