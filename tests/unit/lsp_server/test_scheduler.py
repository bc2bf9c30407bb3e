"""The request pipeline: what is computed, what is not, and what the user's reactions change."""

import asyncio

import pytest

from completion import scheduler as engine_module
from completion.debouncer import Debouncer
from completion.request import CompletionRequest
from completion.scheduler import EngineThread
from lsp_server.settings import Settings
from tests.conftest import cursor


def request(marked: str, path: str = "a.py", *, explicit: bool = False) -> CompletionRequest:
    at = cursor(marked)
    return CompletionRequest(at.text, path, at.offset, explicit)


@pytest.fixture
def no_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "IDLE_S", 3600.0)


@pytest.fixture
async def thread(engine, no_idle):
    thread = EngineThread(engine.open)
    thread.open(Settings(), None, lambda status: None)
    yield thread
    engine.gate.set()
    thread.close()


async def test_an_empty_answer_says_why(engine) -> None:
    thread = EngineThread(engine.open)
    assert (await thread.complete(request("x = $0"))).reason == "no_engine"
    thread.open(Settings(), None, lambda status: None)
    engine.answer = lambda request: ""
    assert (await thread.complete(request("x = $0"))).reason == "nothing_to_add"
    thread.close()
    assert (await thread.complete(request("x = $0"))).reason == "no_engine"


async def test_without_open_nothing_ever_runs(engine) -> None:
    thread = EngineThread(engine.open)
    thread.warm("x", "a.py")
    await thread.complete(request("x = $0", explicit=True))
    assert not thread._executor._threads
    thread.close()


async def test_known_states_cost_no_request(engine, thread) -> None:
    """Typing through, deleting back, accepting word by word."""
    engine.answer = lambda request: "foo.bar()"
    first = await thread.complete(request("x = $0\ny"))
    assert (first.text, first.source) == ("foo.bar()", "model")
    for typed in ("f", "fo", "f", "", "foo.bar"):
        answer = await thread.complete(request(f"x = {typed}$0\ny"))
        assert (typed + answer.text, answer.source) == ("foo.bar()", "cache")
    assert len(engine.requests) == 1
    await thread.complete(request("x = g$0\ny"))
    assert len(engine.requests) == 2


async def test_another_version_of_the_model_answers_anew(engine, thread) -> None:
    await thread.complete(request("x = $0"))
    await thread.complete(request("x = $0"))
    assert len(engine.requests) == 1
    engine.version = lambda: 1
    await thread.complete(request("x = $0"))
    assert len(engine.requests) == 2


async def test_a_running_decode_is_taken_over_by_what_types_it(engine, thread) -> None:
    engine.gate.clear()
    engine.says = "foo("
    engine.answer = lambda request: "foo(1)"
    first = asyncio.create_task(thread.complete(request("x = $0")))
    await engine.begun()
    second = asyncio.create_task(thread.complete(request("x = fo$0")))
    await asyncio.sleep(0)
    engine.gate.set()
    answer = await second
    assert (answer.text, answer.source) == ("o(1)", "adopted")
    await first
    assert len(engine.requests) == 1
    assert not engine.stopped


async def test_a_running_decode_that_says_something_else_is_stopped(engine, thread) -> None:
    engine.gate.clear()
    engine.says = "foo("
    first = asyncio.create_task(thread.complete(request("x = $0")))
    await engine.begun()
    second = asyncio.create_task(thread.complete(request("x = b$0")))
    await asyncio.sleep(0)
    engine.gate.set()
    assert (await first).reason == "cancelled"
    assert (await second).source == "model"
    assert [one.offset for one in engine.stopped] == [4]


async def test_the_end_may_contradict_what_was_typed_ahead(engine, thread) -> None:
    """Adopted while it said nothing yet; the answer turns out another, and a new one is made."""
    engine.gate.clear()
    engine.answer = lambda request: "foo" if request.offset == 4 else "ar"
    first = asyncio.create_task(thread.complete(request("x = $0")))
    await engine.begun()
    second = asyncio.create_task(thread.complete(request("x = b$0")))
    await asyncio.sleep(0)
    engine.gate.set()
    assert (await second).text == "ar"
    assert (await first).text == "foo"
    assert [one.offset for one in engine.requests] == [4, 5]


async def test_a_cancel_stops_the_decode_unless_the_document_types_it(engine, thread) -> None:
    for typed, stopped in (("", 1), ("b", 1), ("fo", 0)):
        engine.gate.clear()
        engine.says = "foo("
        asked = request(f"{typed} = $0")
        text = asked.text + typed
        task = asyncio.create_task(thread.complete(asked, lambda text=text: text))
        await engine.begun()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        engine.gate.set()
        await engine.ended()
        assert len(engine.stopped) == stopped
        engine.stopped.clear()
    engine.answer = lambda request: "never"
    rest = await thread.complete(request("fo = fo$0"))
    assert rest.text in ("", "never")  # known by now or not, nothing was lost


async def test_a_rejected_text_does_not_return_at_its_place(engine, thread) -> None:
    answer = await thread.complete(request("x = $0"))
    assert answer.text == "answer"
    thread.rejected(answer.number)
    for now in ("x = $0", "x = an$0"):
        again = await thread.complete(request(now))
        assert (again.text, again.reason) == ("", "rejected")
    elsewhere = await thread.complete(request("y = $0"))
    assert elsewhere.text == "answer"
    asked = await thread.complete(request("x = $0", explicit=True))
    assert asked.text == "answer"
    thread.rejected(10_000)
    thread.accepted(elsewhere.number)


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
async def test_what_was_just_deleted_is_not_offered(engine, thread, before, after, reason) -> None:
    await thread.complete(request(before))
    answer = await thread.complete(request(after))
    assert answer.reason == reason
    assert bool(answer.text) != bool(reason)
    assert (await thread.complete(request(after, explicit=True))).text


async def test_letters_deleted_one_by_one_are_one_deletion(engine, thread) -> None:
    engine.answer = lambda request: "answer" if request.text == "x = " else ""
    for typed in ("answer", "answe", "answ", "ans", "an", "a"):
        await thread.complete(request(f"x = {typed}$0"))
    assert (await thread.complete(request("x = $0"))).reason == "echo_of_deletion"
    engine.answer = lambda request: "b"
    await thread.complete(request("x = z$0"))
    assert (await thread.complete(request("x = $0"))).text == "answer"


async def test_the_state_after_accepting_is_known_ahead(engine, monkeypatch) -> None:
    """And the one after Enter, where nothing is to be added; the loop of both ends there."""
    monkeypatch.setattr(engine_module, "IDLE_S", 0.0)
    thread = EngineThread(engine.open)
    thread.open(Settings(), None, lambda status: None)
    said = {"if a": " and b:", "if a and b:": "", "if a and b:\n    ": "return"}
    engine.answer = lambda request: said[request.text]
    assert (await thread.complete(request("if a$0"))).text == " and b:"
    for _ in said:
        await engine.ended()
    await asyncio.sleep(0)
    assert [one.text for one in engine.requests] == list(said)
    assert (await thread.complete(request("if a and b:$0"))).source == "cache"
    entered = await thread.complete(request("if a and b:\n    $0"))
    assert (entered.text, entered.source) == ("return", "cache")
    assert len(engine.requests) == 3
    thread.close()


async def test_behind_the_end_nothing_is_asked(engine, thread) -> None:
    engine.ends = True
    await thread.complete(request("x = $0"))
    for _ in range(2):
        ended = await thread.complete(request("x = answer$0"))
        assert (ended.text, ended.reason, ended.source) == ("", "nothing_to_add", "cache")
    engine.answer = lambda request: " b:" if request.text == "if a" else "pass"
    await thread.complete(request("if a$0"))
    assert (await thread.complete(request("if a b:$0"))).text == "pass"  # a block may follow
    assert [one.text for one in engine.requests] == ["x = ", "if a", "if a b:"]


async def test_a_request_stops_the_look_ahead(engine, monkeypatch) -> None:
    monkeypatch.setattr(engine_module, "IDLE_S", 0.0)
    thread = EngineThread(engine.open)
    thread.open(Settings(), None, lambda status: None)
    engine.answer = lambda request: engine.gate.clear() or "answer"
    await thread.complete(request("x = $0"))
    await engine.begun()
    await engine.begun()  # the look ahead waits at the gate, which the answer has closed
    asked = asyncio.create_task(thread.complete(request("y = $0")))
    await asyncio.sleep(0)
    engine.gate.set()
    assert (await asked).text == "answer"
    assert [one.text for one in engine.stopped] == ["x = answer"]
    thread.close()


async def test_warming_gives_way_to_a_request(engine, thread) -> None:
    engine.gate.clear()
    first = asyncio.create_task(thread.complete(request("x$0")))
    await engine.begun()
    thread.warm("other", "b.py")  # something is under way: not now
    engine.gate.set()
    await first
    assert not engine.warmed
    thread.warm("y", "c.py")
    assert (await thread.complete(request("y$0", "c.py"))).text == "answer"
    assert [one.text for one in engine.requests] == ["x", "y"]


async def test_warming_is_for_the_place_that_was_visited_last(engine, thread) -> None:
    await thread.complete(request("abc$0d"))
    for text in ("abcd", "ab", ""):
        thread.warm(text, "a.py")
        while thread._running is not None:
            await asyncio.sleep(0)
    assert [one.offset for one in engine.warmed] == [3, 2, 0]


async def test_a_document_is_weighed_when_nobody_waits(engine, monkeypatch) -> None:
    """After it was opened, and when all that may be asked next is known; no request waits, and
    nothing that is of use to one gives way."""
    monkeypatch.setattr(engine_module, "IDLE_S", 0.0)
    monkeypatch.setattr(engine_module, "WEIGH_S", 0.0)
    thread = EngineThread(engine.open)
    thread.open(Settings(), None, lambda status: None)
    thread.warm("y", "c.py")
    await engine.weighing()
    assert [one.path for one in engine.weighed] == ["c.py"] == [one.path for one in engine.warmed]
    engine.answer = lambda request: ""
    engine.scales.clear()
    await thread.complete(request("x = $0"))
    await engine.weighing()
    assert [one.text for one in engine.weighed] == ["y", "x = "]
    asked = asyncio.create_task(thread.complete(request("x = a$0")))
    await asyncio.sleep(0)
    engine.scales.set()
    await asked
    assert engine.weighing_stopped == [False, True]
    assert [one.text for one in engine.requests][-1] == "x = a"
    await engine.weighing()
    engine.scales.clear()
    thread.warm("z", "d.py")
    engine.scales.set()
    await engine.weighing()
    assert [one.path for one in engine.warmed] == ["c.py", "d.py"]
    thread.close()


async def test_a_word_that_contradicts_is_asked_about_at_a_pause_only(engine, thread, monkeypatch):
    """Until a few letters on, or the word's end, or unless the user asks."""
    monkeypatch.setattr(Debouncer, "delay_s", lambda self, *, doubtful=False: 3600.0 * doubtful)
    engine.answer = lambda request: "zz"
    await thread.complete(request("x = $0"))
    waiting = asyncio.create_task(thread.complete(request("x = a$0")))
    await asyncio.sleep(0)
    assert len(engine.requests) == 1
    asked = await thread.complete(request("x = a$0", explicit=True))
    assert (asked.text, len(engine.requests)) == ("zz", 2)
    for now in ("x = abcd$0", "x = abcde.$0"):
        assert (await thread.complete(request(now))).text == "zz"
    assert len(engine.requests) == 4
    waiting.cancel()


def test_the_delay_follows_typing_and_latency() -> None:
    now = [0.0]
    pace = Debouncer(lambda: now[0])
    for _ in range(50):
        pace.typed(0.12)
        pace.answered(0.02)
    assert pace.delay_s() == 0.0
    for _ in range(50):
        pace.answered(0.1)
    assert pace.delay_s() == pytest.approx(0.1 - 0.06, rel=0.01)
    for _ in range(50):
        pace.answered(2.0)
    assert pace.delay_s() == pytest.approx(0.12, rel=0.01)
    pace.rejected()
    assert pace.delay_s() == pytest.approx(1.5 * 0.12, rel=0.01)
    pace.typed(30.0)
    assert pace.delay_s() == pytest.approx(1.5 * 0.12, rel=0.01)
    now[0] = 10_000.0
    assert pace.delay_s() == pytest.approx(0.12, rel=0.01)
    for _ in range(9):
        pace.accepted()
    assert pace.delay_s() == pytest.approx(0.06, rel=0.01)
    assert pace.delay_s(doubtful=True) == pytest.approx(0.24, rel=0.01)
    for _ in range(50):
        pace.typed(0.9)
    assert pace.delay_s(doubtful=True) == 0.4
