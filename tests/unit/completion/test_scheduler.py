"""What is computed and what is not: cache, take-over, cancellation, delays, errors."""

import asyncio
import threading

import pytest

from completion.completion_model import Computation
from completion.debouncer import Debouncer
from completion.errors import ModelUnavailableError
from completion.request import CompletionRequest, CompletionResult
from completion.scheduler import CompletionScheduler
from completion.status import Status
from tests.conftest import cursor
from tests.unit.completion.fake_model import FakeModel


def request(marked: str, path: str = "a.py", *, explicit: bool = False) -> CompletionRequest:
    at = cursor(marked)
    return CompletionRequest(at.text, path, at.offset, explicit)


async def test_an_empty_result_has_a_reason(model: FakeModel) -> None:
    scheduler = CompletionScheduler()
    assert (await scheduler.complete(request("x = $0"))).reason == "no_engine"
    scheduler.open(lambda: model, lambda status: None)
    model.answer = lambda request: ""
    assert (await scheduler.complete(request("x = $0"))).reason == "nothing_to_add"
    scheduler.close()
    assert (await scheduler.complete(request("x = $0"))).reason == "no_engine"


async def test_without_open_no_thread_is_started() -> None:
    scheduler = CompletionScheduler()
    scheduler.warm(CompletionRequest("x", "a.py", 0))
    await scheduler.complete(request("x = $0", explicit=True))
    assert not scheduler._worker._executor._threads
    scheduler.close()


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ModelUnavailableError("There is no model; get one."), "There is no model; get one."),
        (ValueError("secret"), "ValueError in test_scheduler.py"),
    ],
)
async def test_a_model_that_cannot_be_loaded_is_reported(error, message) -> None:
    def load():
        raise error

    scheduler, statuses = CompletionScheduler(), []
    scheduler.open(load, statuses.append)
    assert (await scheduler.complete(request("x = $0"))).reason == "no_engine"
    (status,) = statuses
    assert isinstance(status, Status)
    assert status.kind == "Error"
    assert message in status.message
    assert "secret" not in status.message
    scheduler.close()


async def test_typing_through_deleting_and_accepting_run_no_model(model, scheduler) -> None:
    model.answer = lambda request: "foo.bar()"
    first = await scheduler.complete(request("x = $0\ny"))
    assert (first.text, first.source) == ("foo.bar()", "model")
    for typed in ("f", "fo", "f", "", "foo.bar"):
        result = await scheduler.complete(request(f"x = {typed}$0\ny"))
        assert (typed + result.text, result.source) == ("foo.bar()", "cache")
    assert len(model.requests) == 1
    await scheduler.complete(request("x = g$0\ny"))
    assert len(model.requests) == 2


async def test_another_version_of_the_model_computes_anew(model, scheduler) -> None:
    await scheduler.complete(request("x = $0"))
    await scheduler.complete(request("x = $0"))
    assert len(model.requests) == 1
    model.model_version = 1
    await scheduler.complete(request("x = $0"))
    assert len(model.requests) == 2
    model.versions["b.py"] = 2  # of another repository
    await scheduler.complete(request("x = $0", "b.py"))
    await scheduler.complete(request("x = $0"))
    assert len(model.requests) == 3


async def test_a_decode_is_taken_over_by_a_request_that_types_it(model, scheduler) -> None:
    model.gate.clear()
    model.partial_text = "foo("
    model.answer = lambda request: "foo(1)"
    first = asyncio.create_task(scheduler.complete(request("x = $0")))
    await model.began()
    second = asyncio.create_task(scheduler.complete(request("x = fo$0")))
    await asyncio.sleep(0)
    model.gate.set()
    result = await second
    assert (result.text, result.source) == ("o(1)", "adopted")
    await first
    assert len(model.requests) == 1
    assert not model.cancelled


async def test_a_decode_of_another_text_is_cancelled(model, scheduler) -> None:
    model.gate.clear()
    model.partial_text = "foo("
    first = asyncio.create_task(scheduler.complete(request("x = $0")))
    await model.began()
    second = asyncio.create_task(scheduler.complete(request("x = b$0")))
    await asyncio.sleep(0)
    model.gate.set()
    assert (await first).reason == "cancelled"
    assert (await second).source == "model"
    assert [cancelled.offset for cancelled in model.cancelled] == [4]


async def test_a_decode_taken_over_may_end_in_another_text(model, scheduler) -> None:
    """It was taken over before its first token; then the model runs again."""
    model.gate.clear()
    model.answer = lambda request: "foo" if request.offset == 4 else "ar"
    first = asyncio.create_task(scheduler.complete(request("x = $0")))
    await model.began()
    second = asyncio.create_task(scheduler.complete(request("x = b$0")))
    await asyncio.sleep(0)
    model.gate.set()
    assert (await second).text == "ar"
    assert (await first).text == "foo"
    assert [started.offset for started in model.requests] == [4, 5]


@pytest.mark.parametrize(("typed", "is_cancelled"), [("", True), ("b", True), ("fo", False)])
async def test_a_cancel_stops_the_decode_unless_its_text_is_typed(
    model, scheduler, typed, is_cancelled
) -> None:
    model.gate.clear()
    model.partial_text = "foo("
    model.answer = lambda request: "foo()"
    first = request("x = $0")
    task = asyncio.create_task(scheduler.complete(first, lambda: first.text + typed))
    await model.began()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    model.gate.set()
    await model.ended()
    assert (model.cancelled == [first]) is is_cancelled
    model.answer = lambda request: "computed anew"
    rest = await scheduler.complete(request("x = fo$0"))
    assert rest.text == ("computed anew" if is_cancelled else "o()")


async def test_an_error_is_raised_to_its_request_and_the_next_one_is_served(model, scheduler):
    def fail(request):
        raise ValueError("secret")

    model.answer = fail
    with pytest.raises(ValueError, match="secret"):
        await scheduler.complete(request("x = $0"))
    model.answer = lambda request: "fine"
    assert (await scheduler.complete(request("x = $0"))).text == "fine"


async def test_after_the_end_of_a_unit_no_model_is_run(model, scheduler) -> None:
    model.ends = True
    await scheduler.complete(request("x = $0"))
    for _ in range(2):
        result = await scheduler.complete(request("x = answer$0"))
        assert (result.text, result.reason, result.source) == ("", "nothing_to_add", "cache")
    assert len(model.requests) == 1


async def test_after_a_mismatch_a_request_waits_for_a_pause(model, scheduler, monkeypatch):
    """Up to a number of letters or the word's end; an explicit request does not wait."""
    monkeypatch.setattr(Debouncer, "delay_s", lambda self, *, backoff=False: 3600.0 * backoff)
    model.answer = lambda request: "zz"
    await scheduler.complete(request("x = $0"))
    waiting = asyncio.create_task(scheduler.complete(request("x = a$0")))
    await asyncio.sleep(0)
    assert len(model.requests) == 1
    explicit = await scheduler.complete(request("x = a$0", explicit=True))
    assert (explicit.text, len(model.requests)) == ("zz", 2)
    for marked in ("x = abcd$0", "x = abcde.$0"):
        assert (await scheduler.complete(request(marked))).text == "zz"
    assert len(model.requests) == 4
    waiting.cancel()


async def test_the_latest_result_of_each_file_is_kept(model, scheduler) -> None:
    assert scheduler.latest("a.py") is None
    await scheduler.complete(request("x = $0"))
    model.answer = lambda request: "other"
    await scheduler.complete(request("y = $0", "b.py"))
    assert scheduler.latest("a.py").text == "answer"
    assert scheduler.latest("b.py").text == "other"


async def test_no_request_waits_longer_than_its_model_allows(model, scheduler) -> None:
    """Though the thread of the model notices nothing."""
    await loaded_by_a_request(scheduler, model)
    model.limit_s = 0.02
    model.gate.clear()
    assert (await scheduler.complete(request("x = $0", explicit=True))).reason == "timed_out"
    # nor does the next one, which cannot even begin
    assert (await scheduler.complete(request("x = $0", explicit=True))).reason == "timed_out"
    model.limit_s = None
    model.gate.set()
    assert (await scheduler.complete(request("x = $0", explicit=True))).text == "answer"
    assert [cancelled.offset for cancelled in model.cancelled] == [4]


async def test_a_model_that_was_not_loaded_limits_its_first_request_itself(
    model, scheduler, monkeypatch
) -> None:
    held = threading.Event()

    def complete(request: CompletionRequest, computation: Computation) -> CompletionResult:
        computation.limit(0.02)
        assert held.wait(60)
        return CompletionResult("", "cancelled")

    monkeypatch.setattr(model, "complete", complete)
    assert (await scheduler.complete(request("x = $0", explicit=True))).reason == "timed_out"
    held.set()


async def test_a_decode_taken_over_brings_no_more_time(model, scheduler) -> None:
    await loaded_by_a_request(scheduler, model)
    model.limit_s = 0.05
    model.gate.clear()
    model.partial_text = "foo("
    first = asyncio.create_task(scheduler.complete(request("x = $0")))
    await model.began()
    second = asyncio.create_task(scheduler.complete(request("x = fo$0")))
    assert [(await each).reason for each in (first, second)] == ["timed_out", "timed_out"]
    model.gate.set()
    assert len(model.requests) == 2


async def test_the_wait_for_a_decode_taken_over_in_vain_counts(model) -> None:
    now, held = 0.0, threading.Event()
    scheduler = CompletionScheduler(lambda: now)
    scheduler.open(lambda: model, lambda status: None)
    await loaded_by_a_request(scheduler, model)
    model.limit_s = 3600.0
    model.gate.clear()
    model.answer = lambda request: "foo" if request.offset == 4 else f"{held.wait(60)}"
    first = asyncio.create_task(scheduler.complete(request("x = $0")))
    await model.began()
    second = asyncio.create_task(scheduler.complete(request("x = b$0")))
    await asyncio.sleep(0)
    now = model.limit_s
    model.gate.set()
    assert (await first).text == "foo"
    assert (await second).reason == "timed_out"
    held.set()
    scheduler.close()


async def loaded_by_a_request(scheduler: CompletionScheduler, model: FakeModel) -> None:
    """A model that is not loaded yet has no limit."""
    await scheduler.complete(request("loaded = $0"))
    await model.began()
