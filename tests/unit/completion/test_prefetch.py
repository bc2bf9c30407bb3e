"""What is computed while idle: the next states, contexts of opened files, the prompt-fit check."""

import asyncio
import logging

import pytest

from completion import prefetch, worker
from completion.prefetch import next_requests
from completion.request import CompletionRequest, CompletionResult
from tests.conftest import cursor


def request(marked: str, path: str = "a.py") -> CompletionRequest:
    at = cursor(marked)
    return CompletionRequest(at.text, path, at.offset)


async def settled(scheduler) -> None:
    """Wait until no job runs."""
    while scheduler._worker.job is not None:
        await asyncio.sleep(0)


@pytest.fixture
def idle_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefetch, "IDLE_S", 0.0)


@pytest.mark.parametrize(
    ("marked", "text", "expected"),
    [
        ("x = $0", "1", ["x = 1$0", "x = 1\n$0"]),
        ("if a$0", ":", ["if a:$0", "if a:\n    $0"]),
        ("\tif a$0", ":", ["\tif a:$0", "\tif a:\n\t\t$0"]),
        ("if a:\n  b()\nif c$0", ":", ["if a:\n  b()\nif c:$0", "if a:\n  b()\nif c:\n  $0"]),
        ("x = 1\r\ny = $0\r\n", "2", ["x = 1\r\ny = 2$0\r\n", "x = 1\r\ny = 2\r\n$0\r\n"]),
        ("f($0)\ny", "a)", ["f(a)$0\ny", "f(a)\n$0\ny"]),  # the editor's bracket is replaced
        ("f($0, b)", "a", ["f(a$0, b)"]),  # Enter does not follow within a line
        ("x = 1$0", "", ["x = 1\n$0"]),
        ("    $0", "", []),  # a blank line: Enter is no likely next step
    ],
)
def test_next_requests(marked: str, text: str, expected: list[str]) -> None:
    result = CompletionResult(text, None if text else "nothing_to_add")
    requests = next_requests(request(marked), result)
    assert requests == [request(next_marked) for next_marked in expected]


def test_nothing_follows_where_the_cursor_has_no_completion() -> None:
    assert next_requests(request("x = 'a$0"), CompletionResult("", "in_string")) == []


async def test_states_after_accepting_and_after_enter_are_prefetched(
    model, loaded, idle_at_once
) -> None:
    """It ends at the first state with a text."""
    texts = {"if a": " and b:", "if a and b:": "", "if a and b:\n    ": "return"}
    model.answer = lambda request: texts[request.text]
    assert (await loaded.complete(request("if a$0"))).text == " and b:"
    for _ in texts:
        await model.ended()
    await settled(loaded)
    assert [computed.text for computed in model.requests] == list(texts)
    assert (await loaded.complete(request("if a and b:$0"))).source == "cache"
    entered = await loaded.complete(request("if a and b:\n    $0"))
    assert (entered.text, entered.source) == ("return", "cache")
    assert len(model.requests) == 3


@pytest.mark.parametrize(("battery", "prefetches"), [(True, False), (False, True)])
async def test_nothing_is_prefetched_on_the_battery(
    model, loaded, idle_at_once, monkeypatch: pytest.MonkeyPatch, battery: bool, prefetches: bool
) -> None:
    """The prompt-fit check, which is rare, still follows."""
    monkeypatch.setattr(prefetch, "on_battery", lambda: battery)
    monkeypatch.setattr(prefetch, "FIT_CHECK_IDLE_S", 0.0)
    checked = asyncio.Event()
    monkeypatch.setattr(loaded._prefetcher, "_check_fit", lambda request: checked.set())
    model.answer = lambda request: "1"
    await loaded.complete(request("x = $0"))
    await checked.wait()
    assert (len(model.requests) > 1) == prefetches


async def test_a_request_cancels_prefetching(model, loaded, idle_at_once) -> None:
    model.answer = lambda request: model.gate.clear() or "answer"
    await loaded.complete(request("x = $0"))
    await model.began()
    await model.began()  # prefetching waits at the gate, which the first answer has closed
    other = asyncio.create_task(loaded.complete(request("y = $0")))
    await asyncio.sleep(0)
    model.gate.set()
    assert (await other).text == "answer"
    assert [cancelled.text for cancelled in model.cancelled] == ["x = answer"]


async def test_a_failed_prefetch_is_logged_without_code_and_requests_go_on(
    model, loaded, idle_at_once, caplog
) -> None:
    def answer(request: CompletionRequest) -> str:
        if request.text == "secret = 1":
            raise ValueError(request.text)
        return "1"

    model.answer = answer
    with caplog.at_level(logging.ERROR):
        await loaded.complete(request("secret = $0"))
        for _ in range(2):
            await model.ended()
        await settled(loaded)
    (record,) = caplog.records
    assert "prefetch" in record.getMessage()
    assert "ValueError in test_prefetch.py" in record.getMessage()
    assert "secret" not in caplog.text
    assert (await loaded.complete(request("y = $0"))).text == "1"


async def test_a_document_is_not_warmed_while_a_request_runs(model, scheduler) -> None:
    model.gate.clear()
    first = asyncio.create_task(scheduler.complete(request("x$0")))
    await model.began()
    scheduler.warm(CompletionRequest("other", "b.py", 0))
    model.gate.set()
    await first
    assert not model.warmed
    scheduler.warm(CompletionRequest("y", "c.py", 0))
    assert (await scheduler.complete(request("y$0", "c.py"))).text == "answer"
    assert [computed.text for computed in model.requests] == ["x", "y"]


async def test_a_document_is_warmed_at_its_last_cursor(model, scheduler) -> None:
    await scheduler.complete(request("abc$0d"))
    for text in ("abcd", "ab", ""):
        scheduler.warm(CompletionRequest(text, "a.py", 0))
        await settled(scheduler)
    assert [warmed.offset for warmed in model.warmed] == [3, 2, 0]


async def test_prompt_fit_is_checked_after_a_document_was_warmed(model, scheduler) -> None:
    scheduler.warm(CompletionRequest("y", "c.py", 0))
    await model.fit_check_began()
    assert model.warmed == model.fit_checks == [CompletionRequest("y", "c.py", 0)]


async def test_prompt_fit_is_checked_when_all_next_states_are_cached(
    model, loaded, idle_at_once, monkeypatch
) -> None:
    monkeypatch.setattr(prefetch, "FIT_CHECK_IDLE_S", 0.0)
    model.answer = lambda request: ""
    await loaded.complete(request("x = $0"))
    await model.fit_check_began()
    assert [computed.text for computed in model.requests] == ["x = ", "x = \n"]
    assert [checked.text for checked in model.fit_checks] == ["x = "]


@pytest.mark.parametrize("overtaken", [False, True])
async def test_free_memory_is_returned_in_a_long_pause(
    model, loaded, idle_at_once, monkeypatch, overtaken: bool
) -> None:
    """A request in the meantime makes it wait for the next pause."""
    monkeypatch.setattr(prefetch, "FIT_CHECK_IDLE_S", 0.0)
    monkeypatch.setattr(prefetch, "TRIM_IDLE_S", 1e9 if overtaken else 0.0)
    loop, returned = asyncio.get_running_loop(), asyncio.Event()
    monkeypatch.setattr(
        worker, "return_free_pages", lambda: loop.call_soon_threadsafe(returned.set)
    )
    model.answer = lambda request: ""
    await loaded.complete(request("x = $0"))
    await model.fit_check_began()
    if overtaken:
        pending = loaded._prefetcher._timer
        await loaded.complete(request("y = $0"))
        assert pending.cancelled()
    else:
        await returned.wait()


async def test_a_prompt_fit_check_gives_way(model, scheduler) -> None:
    """To a request and to warming; neither waits for it."""
    for number, start in enumerate(("request", "warm")):
        model.fit_check_gate.clear()
        scheduler.warm(CompletionRequest("y", f"{number}.py", 0))
        await model.fit_check_began()
        if start == "request":
            waiting = asyncio.create_task(scheduler.complete(request("x = $0")))
            await asyncio.sleep(0)
            model.fit_check_gate.set()
            assert (await waiting).text == "answer"
        else:
            scheduler.warm(CompletionRequest("z", "d.py", 0))
            model.fit_check_gate.set()
            await model.fit_check_began()
            assert model.warmed[-1].path == "d.py"
        assert model.cancelled_fit_checks[number] is True
        await settled(scheduler)
