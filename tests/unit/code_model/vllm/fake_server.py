"""A small server that speaks as vLLM does, computes with a local model, and fails on request."""

import base64
import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import torch

from code_model.decoder.model import DecoderModel
from code_model.language_model import LanguageModel, ScoredIds
from code_model.team_server import served_name

DONE = b"data: [DONE]\n\n"


@dataclass
class FakeServer:
    """`answer` is None to compute, else the bytes of every event stream.

    With `pause_after` it sends that many tokens and then nothing until `resume` is set.
    """

    model: LanguageModel
    key: str | None = None
    status: int = 200
    answer: bytes | None = None
    pause_after: int | None = None
    port: int = 0
    resume: threading.Event = field(default_factory=threading.Event)
    abandoned: threading.Event = field(default_factory=threading.Event)
    """Set when a client has closed its connection before the end of an answer."""
    requests: list[dict[str, Any]] = field(default_factory=list)
    connections: set[tuple[str, int]] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def events(self, body: dict[str, Any]) -> Iterator[bytes]:
        """The events of a stream: one token each."""
        ids, logprobs = self.continuation(body)
        for at, (token, logprob) in enumerate(zip(ids, logprobs, strict=True)):
            if at == self.pause_after:
                self.resume.wait()
            last = at == len(ids) - 1
            yield b"data: " + json.dumps(_answer([token], [logprob], last)).encode() + b"\n\n"
        if self.pause_after is not None and self.pause_after >= len(ids):
            self.resume.wait()
        yield DONE

    def continuation(self, body: dict[str, Any]) -> tuple[list[int], list[float]]:
        """Ids with the one that ends the text, as vLLM gives them, and their log-probabilities."""
        session = self.model.open()
        ids = body["prompt"] if "prompt" in body else self.ids_of(embeddings_of(body))
        ids = ids[session.num_virtual_tokens :]
        if (allowed := body.get("allowed_token_ids")) is not None:
            nats = session.score([ScoredIds([*ids, token], 1) for token in allowed])
            values = (-torch.tensor(nats)[:, 0]).log_softmax(0)
            best = int(values.argmax())
            return [allowed[best]], [float(values[best])]
        continued = session.generate(ids, max_new_tokens=body["max_tokens"])
        chosen, logprobs = list(continued.ids), list(continued.logprobs)
        if continued.finish_reason == "end":
            chosen.append(body["stop_token_ids"][0])
            logprobs.append(-0.1)
        return chosen, logprobs

    def ids_of(self, embeddings: torch.Tensor) -> list[int]:
        """The tokens whose embeddings these are."""
        assert isinstance(self.model, DecoderModel)
        table = self.model.llama.model.embed_tokens.weight
        ids: list[int] = torch.cdist(embeddings, table).argmin(dim=1).tolist()
        assert torch.equal(embeddings, table[ids])
        return ids

    def scores(self, body: dict[str, Any]) -> dict[str, Any]:
        """The answer to a request for the log-probabilities of an input."""
        session = self.model.open()
        ids = body["prompt"]
        behind = ids[session.num_virtual_tokens :]
        (nats,) = session.score([ScoredIds(behind, len(behind) - 1)])
        entries: list[Any] = [None] * (len(ids) - len(nats))
        entries += [{str(t): {"logprob": -n}} for t, n in zip(ids[-len(nats) :], nats, strict=True)]
        answer = _answer([0], [0.0], True)
        answer["choices"][0]["prompt_logprobs"] = entries
        return answer

    def models(self) -> dict[str, Any]:
        identity = self.model.identity
        names = [
            served_name("model", identity.model_fingerprint),
            served_name("tokenizer", identity.tokenizer_fingerprint),
            served_name("layout", identity.layout_fingerprint),
            served_name("precision", "float32"),
        ]
        return {"data": [{"id": name, "max_model_len": 400} for name in names]}


def _answer(ids: list[int], logprobs: list[float], last: bool) -> dict[str, Any]:
    choice = {
        "index": 0,
        "text": "",
        "token_ids": ids,
        "logprobs": {"token_logprobs": logprobs},
        "finish_reason": "length" if last else None,
    }
    return {"id": "cmpl-1", "choices": [choice]}


def embeddings_of(body: dict[str, Any]) -> torch.Tensor:
    """The input embeddings (T, d) of a request, read as vLLM reads them."""
    data = io.BytesIO(base64.b64decode(body["prompt_embeds"], validate=True))
    tensor: torch.Tensor = torch.load(data, weights_only=True)
    return tensor


class NoticingHandler(BaseHTTPRequestHandler):
    """Notices a client that has gone, also where its answer was written before."""

    abandoned: threading.Event

    def handle_one_request(self) -> None:
        """As in the standard library; a lost connection is no traceback."""
        try:
            super().handle_one_request()
        except OSError:
            self.close_connection = True
        if self.close_connection:
            self.abandoned.set()


def handler_of(server: FakeServer) -> type[BaseHTTPRequestHandler]:
    """What answers the requests of one connection."""

    class Handler(NoticingHandler):
        protocol_version = "HTTP/1.1"
        abandoned = server.abandoned

        def log_message(self, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            self._send(json.dumps(server.models()).encode())

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            server.requests.append(body)
            if server.key is not None:
                authorised = self.headers.get("Authorization") == f"Bearer {server.key}"
                if not authorised:
                    self._send(b"{}", 401)
                    return
            if server.status != 200:
                self._send(b"{}", server.status)
            elif not body.get("stream"):
                if server.pause_after is not None:
                    server.resume.wait()
                scores = body.get("prompt_logprobs") is not None
                answer = server.scores(body) if scores else _answer([0], [0.0], True)
                self._send(json.dumps(answer).encode())
            else:
                self._stream([server.answer] if server.answer else server.events(body))

        def _send(self, data: bytes, status: int = 200) -> None:
            server.connections.add(self.client_address)
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def _stream(self, events: Any) -> None:
            server.connections.add(self.client_address)
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            try:
                for event in events:
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
                self.wfile.write(b"0\r\n\r\n")
            except OSError:
                server.abandoned.set()
                self.close_connection = True

    return Handler


@contextmanager
def running(server: FakeServer) -> Iterator[FakeServer]:
    """The server on a port of its own, or on the one that it has."""
    http = ThreadingHTTPServer(("127.0.0.1", server.port), handler_of(server))
    http.daemon_threads = True
    server.port = http.server_port
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.resume.set()
        http.shutdown()
        thread.join()
        http.server_close()
