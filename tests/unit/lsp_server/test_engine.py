"""What becomes of answers: reasons, and what the user did with them."""

from lsp_server.engine import CompletionRequest, EngineThread
from lsp_server.settings import Settings

REQUEST = CompletionRequest("x = ", "a.py", 4)


async def test_an_empty_answer_says_why(engine):
    thread = EngineThread(engine.open)
    assert (await thread.complete(REQUEST)).reason == "no_engine"
    thread.open(Settings(), None, lambda status: None)
    engine.answer = lambda request: ""
    assert (await thread.complete(REQUEST)).reason == "nothing_to_add"
    thread.close()


async def test_a_rejected_text_does_not_return_at_its_place(engine):
    thread = EngineThread(engine.open)
    thread.open(Settings(), None, lambda status: None)
    answer = await thread.complete(REQUEST)
    assert answer.text == "answer"
    thread.rejected(answer.number)
    again = await thread.complete(REQUEST)
    assert (again.text, again.reason) == ("", "rejected")
    elsewhere = await thread.complete(CompletionRequest("y = ", "a.py", 4))
    assert elsewhere.text == "answer"
    asked = await thread.complete(CompletionRequest("x = ", "a.py", 4, explicit=True))
    assert asked.text == "answer"
    thread.rejected(10_000)
    thread.accepted(elsewhere.number)
    thread.close()
