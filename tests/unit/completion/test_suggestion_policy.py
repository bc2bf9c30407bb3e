"""What the user rejected or just deleted is not suggested again."""

import gc

import pytest

from completion.request import CompletionRequest, CompletionResult
from completion.suggestion_policy import MAX_DOCUMENTS, SuggestionPolicy
from tests.conftest import cursor


def request(marked: str, *, explicit: bool = False) -> CompletionRequest:
    at = cursor(marked)
    return CompletionRequest(at.text, "a.py", at.offset, explicit)


@pytest.fixture
def policy() -> SuggestionPolicy:
    return SuggestionPolicy(lambda: 0.0)


def shown(policy: SuggestionPolicy, now: CompletionRequest, text: str) -> CompletionResult:
    """What is shown when the model completes with `text`."""
    return policy.numbered(now, CompletionResult(text), policy.observe(now))


def test_a_rejected_text_is_not_suggested_again_at_its_place(policy) -> None:
    result = shown(policy, request("x = $0"), "answer")
    assert result.text == "answer"
    policy.rejected(result.number)
    for marked, text in (("x = $0", "answer"), ("x = an$0", "swer")):
        again = shown(policy, request(marked), text)
        assert (again.text, again.reason) == ("", "rejected")
    assert shown(policy, request("y = $0"), "answer").text == "answer"
    assert shown(policy, request("x = $0"), "other").text == "other"
    assert shown(policy, request("x = $0", explicit=True), "answer").text == "answer"


def test_numbers_are_unique_and_unknown_ones_change_nothing(policy) -> None:
    first, second = (shown(policy, request("x = $0"), "answer") for _ in range(2))
    assert first.number != second.number
    policy.rejected(10_000)
    policy.accepted(10_000)
    policy.accepted(first.number)
    policy.rejected(first.number)  # accepted already
    assert shown(policy, request("x = $0"), "answer").text == "answer"


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ("x = answer$0", "x = $0", "echo_of_deletion"),
        ("x = answer()$0", "x = $0", "echo_of_deletion"),
        ("x = ans$0", "x = $0", "echo_of_deletion"),
        ("x = ansatz$0", "x = $0", None),
        ("x = an$0", "x = $0", None),
        ("x = other$0", "x = $0", None),
        ("x = $0", "x = $0", None),
    ],
)
def test_what_was_just_deleted_is_not_suggested(policy, before, after, reason) -> None:
    policy.observe(request(before))
    result = shown(policy, request(after), "answer")
    assert result.reason == reason
    assert bool(result.text) != bool(reason)
    assert shown(policy, request(after, explicit=True), "answer").text


def test_letters_deleted_one_by_one_are_one_deletion(policy) -> None:
    for typed in ("answer", "answe", "answ", "ans", "an", "a"):
        policy.observe(request(f"x = {typed}$0"))
    assert shown(policy, request("x = $0"), "answer").reason == "echo_of_deletion"
    policy.observe(request("x = z$0"))
    assert shown(policy, request("x = $0"), "answer").text == "answer"


@pytest.mark.parametrize("feedback", ["accepted", "rejected"])
def test_feedback_changes_the_delay(policy, feedback) -> None:
    for _ in range(50):
        policy.computed(2.0)
    usual = policy.delay_s(request("$0"))
    result = shown(policy, request("x = $0"), "answer")
    getattr(policy, feedback)(result.number)
    changed = policy.delay_s(request("$0"))
    assert changed < usual if feedback == "accepted" else changed > usual
    assert policy.delay_s(request("$0", explicit=True)) == 0.0


def test_the_cursor_of_the_last_request_is_kept(policy) -> None:
    assert policy.last_offset("a.py") == 0
    policy.observe(request("abc$0d"))
    assert policy.last_offset("a.py") == 3


def test_only_the_latest_documents_are_remembered(policy) -> None:
    for number in range(MAX_DOCUMENTS + 1):
        policy.observe(CompletionRequest("x = ", f"{number}.py", 4))
    assert policy.last_offset("0.py") == 0
    assert policy.last_offset("1.py") == policy.last_offset(f"{MAX_DOCUMENTS}.py") == 4


def test_texts_of_earlier_requests_are_not_kept(policy) -> None:
    """One text for each of the latest documents, however many requests and documents there are."""

    class Text(str):
        """A text whose life can be counted."""

    for number in range(3 * MAX_DOCUMENTS):
        for length in range(2):
            text = Text("x = an"[: 4 + length])
            shown(policy, CompletionRequest(text, f"{number}.py", len(text)), "answer")
    del text
    gc.collect()
    assert not any(type(each) is Text for each in gc.get_objects())
    states = policy._states
    assert len(states) == len(policy._backoff._words) == MAX_DOCUMENTS
    assert policy.last_offset("0.py") == 0
    assert policy.last_offset(f"{3 * MAX_DOCUMENTS - 1}.py") == 5
