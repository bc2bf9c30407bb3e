"""Protocol fuzz: random messages, right and wrong, against a model of the client's documents.

After any sequence every request has been answered, and the texts of the server are the client's,
unless a document was refused because of an invalid edit.
"""

import asyncio
import json
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from hypothesis.stateful import initialize as at_first

from completion.status import Status
from lsp_server import edits
from lsp_server.server import create_server
from tests.unit.completion.fake_model import FakeModel
from tests.unit.lsp_server.conftest import Client

ALL_URIS = [
    "file:///work/space/a.py",
    "untitled:Untitled-1",
    "git:/work/space/a.py?%7B%22ref%22%3A%22HEAD%22%7D",
]
URIS = st.sampled_from(ALL_URIS)
TEXTS = st.text(st.sampled_from("ab\n\r(é😀😁\ud83d\ude00\u2028"), max_size=8)
HUGE = "x = 1\n" * 420_000
VERSIONS = st.sampled_from([None, -1, 0, 1, 5, 2**40, "7"])
BAD_NUMBERS = st.sampled_from([-1, 2**31, 2**40, 1.5, None, "0", True])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)
METHODS = st.sampled_from(
    [
        "textDocument/inlineCompletion",
        "textDocument/completion",
        "textDocument/didFocus",
        "textDocument/didClose",
        "workspace/executeCommand",
        "workspace/didChangeWorkspaceFolders",
        "attune/latestResult",
        "attune/statistics",
        "initialize",
        "initialized",
        "$/cancelRequest",
        "$/unknown",
        "foo/bar",
    ]
)


def units(text: str) -> list[str]:
    """The UTF-16 units of a text, as an editor in JavaScript has them."""
    data = text.encode("utf-16-be", "surrogatepass")
    return [chr(int.from_bytes(data[at : at + 2], "big")) for at in range(0, len(data), 2)]


def joined(characters: list[str]) -> str:
    data = "".join(characters).encode("utf-16-le", "surrogatepass")
    return data.decode("utf-16-le", "surrogatepass")


def position(characters: list[str], offset: int) -> dict[str, int]:
    """The LSP position of an offset in units; the start of a CRLF if the offset is inside it."""
    if characters[offset - 1 : offset + 1] == ["\r", "\n"]:
        offset -= 1
    before = "".join(characters[:offset]).replace("\r\n", "\n").replace("\r", "\n")
    return {"line": before.count("\n"), "character": len(before) - (before.rfind("\n") + 1)}


class DocumentMachine(RuleBasedStateMachine):
    """One connection, and edits of documents.

    `texts` are the client's documents, None for a refused one.
    """

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.model = FakeModel()
        self.model.answer = lambda request: ""
        self.texts: dict[str, str | None] = {}
        self.is_initialized = False
        self.is_shut_down = False
        self.loop.run_until_complete(self._connect())

    async def _connect(self) -> None:
        def open_model(settings, roots, report):
            report(Status("Normal", False, "Ready."))
            return self.model

        self.client = Client(create_server(open_model))

    @property
    def is_open_session(self) -> bool:
        return self.is_initialized and not self.is_shut_down

    def _run(self, step) -> None:
        """Call `step` on the event loop, then let it settle."""

        async def run():
            result = step()
            await asyncio.sleep(0)
            return result

        return self.loop.run_until_complete(run())

    @at_first(texts=st.lists(TEXTS, min_size=1, max_size=3))
    def begin(self, texts):
        self.initialize()
        for uri, text in zip(ALL_URIS, texts, strict=False):
            self.open(uri, text, 1)

    def initialize(self):
        params = {"processId": None, "rootUri": "file:///work/space", "capabilities": {}}
        options = {"initializationOptions": {"statistics": False}}
        answer = self._run(lambda: self.client.request("initialize", params | options))
        result = self.loop.run_until_complete(answer)
        assert ("result" in result) == (not self.is_initialized and not self.is_shut_down)
        if "result" in result:
            self.is_initialized = True
            self._run(lambda: self.client.notify("initialized", {}))

    @rule(uri=URIS, text=TEXTS, version=VERSIONS)
    def open(self, uri, text, version):
        item = {"uri": uri, "languageId": "python", "version": version, "text": text}
        self._run(lambda: self.client.notify("textDocument/didOpen", {"textDocument": item}))
        if self.is_open_session:
            self.texts[uri] = None if text is HUGE else joined(units(text))

    @rule(uri=URIS)
    def close(self, uri):
        params = {"textDocument": {"uri": uri}}
        self._run(lambda: self.client.notify("textDocument/didClose", params))
        if self.is_open_session:
            self.texts.pop(uri, None)

    @rule(uri=URIS, version=VERSIONS, text=TEXTS, data=st.data())
    def change(self, uri, version, text, data):
        before = self.texts.get(uri)
        now = units("a\nb" if before is None else before)
        offsets = st.integers(0, min(len(now), 8))
        start, end = sorted((data.draw(offsets), data.draw(offsets)))
        first, last = position(now, start), position(now, end)
        for offset in (start, end):
            if now[offset - 1 : offset + 1] == ["\r", "\n"]:
                return  # no position of an editor is inside a line ending
        self._change(uri, version, {"range": {"start": first, "end": last}, "text": text})
        if self.is_open_session and self.texts.get(uri) is not None:
            self.texts[uri] = joined([*now[:start], *units(text), *now[end:]])

    @precondition(lambda self: self.is_open_session and self.pairs())
    @rule(text=TEXTS, is_first_half=st.booleans(), data=st.data())
    def change_half_of_a_pair(self, text, is_first_half, data):
        """One end of the range is inside a character of two units, as after Shift and an arrow."""
        uri, middle = data.draw(st.sampled_from(self.pairs()))
        now = units(self.texts[uri])
        start, end = (middle - 1, middle) if is_first_half else (middle, middle + 1)
        change = {"range": {"start": position(now, start), "end": position(now, end)}, "text": text}
        self._change(uri, 2, change)
        self.texts[uri] = joined([*now[:start], *units(text), *now[end:]])

    def pairs(self) -> list[tuple[str, int]]:
        """The documents' places between the units of a character, as offsets in units."""
        return [
            (uri, at)
            for uri, text in sorted(self.texts.items())
            if text is not None
            for at, (before, after) in enumerate(pairwise(units(text)), 1)
            if len(joined([before, after])) == 1
        ]

    @rule(uri=URIS, version=VERSIONS, text=TEXTS)
    def change_whole(self, uri, version, text):
        self._change(uri, version, {"text": text})
        if self.is_open_session and uri in self.texts:
            self.texts[uri] = joined(units(text))

    def _change(self, uri, version, change):
        document = {"uri": uri, "version": version}
        params = {"textDocument": document, "contentChanges": [change]}
        self._run(lambda: self.client.notify("textDocument/didChange", params))

    @invariant()
    def texts_are_the_clients(self):
        documents = self.client.server.documents
        for uri, text in self.texts.items():
            document = documents.get(uri)
            assert document is not None
            assert (document.refusal is None) == (text is not None)
            if text is not None:
                assert document.text == text
                document.encodable_text.encode()

    def teardown(self) -> None:
        """Every request is answered."""
        self.loop.run_until_complete(self._settle())
        assert self.client.unanswered == 0
        self.client.server.shutdown()
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()

    async def _settle(self) -> None:
        pending = [answer for answer in self.client._answers.values() if not answer.done()]
        if pending:
            await asyncio.wait(pending, timeout=30)


class ProtocolMachine(DocumentMachine):
    """Also what is no edit, is invalid, or comes too soon or too late."""

    @at_first(is_soon=st.sampled_from([True, True, True, False]), texts=st.lists(TEXTS, max_size=3))
    def begin(self, is_soon, texts):
        """Most connections begin as they should, so that edits meet open documents."""
        if is_soon:
            self.initialize()
            for uri, text in zip(ALL_URIS, texts, strict=False):
                self.open(uri, text, 1)

    @rule()
    def initialize(self):
        super().initialize()

    @precondition(lambda self: self.is_initialized)
    @rule(is_meant=st.sampled_from([False] * 15 + [True]))
    def shutdown(self, is_meant):
        if is_meant:
            self._run(lambda: self.client.request("shutdown"))
            self.is_shut_down = True

    @rule(uri=URIS)
    def open_huge(self, uri):
        self.open(uri, HUGE, 1)

    @rule(uri=URIS, bad=BAD_NUMBERS, name=st.sampled_from(["line", "character"]))
    def change_invalidly(self, uri, bad, name):
        zero = {"line": 0, "character": 0}
        self._change(uri, 2, {"range": {"start": zero, "end": zero | {name: bad}}, "text": "x"})
        if self.is_open_session and uri in self.texts:
            self.texts[uri] = None

    @rule(uri=URIS)
    def change_reversed(self, uri):
        start, end = {"line": 0, "character": 1}, {"line": 0, "character": 0}
        self._change(uri, 2, {"range": {"start": start, "end": end}, "text": "x"})
        if self.is_open_session and uri in self.texts:
            self.texts[uri] = None

    @rule(uri=URIS, line=st.integers(0, 2**31 - 1), character=st.integers(0, 2**31 - 1))
    def complete(self, uri, line, character):
        answer = self._run(lambda: self.client.complete(line, character, invoked=True, uri=uri))
        assert ("result" in self.loop.run_until_complete(answer)) == self.is_open_session

    @rule(uri=URIS, bad=BAD_NUMBERS)
    def complete_at_an_invalid_position(self, uri, bad):
        answer = self._run(lambda: self.client.complete(bad, 0, uri=uri))
        assert "error" in self.loop.run_until_complete(answer)

    @rule(method=METHODS.filter(lambda method: method != "initialize"), params=JSON)
    def request(self, method, params):
        answer = self._run(lambda: self.client.request(method, params))
        assert self.loop.run_until_complete(answer)["jsonrpc"] == "2.0"

    @rule(method=METHODS, params=JSON)
    def notify(self, method, params):
        self._run(lambda: self.client.notify(method, params))

    @rule(body=st.binary(max_size=20) | JSON.map(lambda value: json.dumps(value).encode()))
    def send(self, body):
        before = len(self.client.errors)
        self._run(lambda: self.client.send(body))
        assert len(self.client.errors) == before + 1


TestDocuments = DocumentMachine.TestCase
TestDocuments.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
TestProtocol = ProtocolMachine.TestCase
TestProtocol.settings = settings(
    max_examples=15,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("_splits_pair", lambda lines, position, offset: False),
        ("_halves", lambda character: (character, character)),
        ("_with_whole_pairs", lambda text: text),
    ],
)
def test_the_fuzz_finds_faults_in_the_middle_of_a_pair(monkeypatch, name, fault):
    monkeypatch.setattr(edits, name, fault)
    search = settings(TestDocuments.settings, phases=[Phase.generate], report_multiple_bugs=False)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(DocumentMachine, settings=search)
