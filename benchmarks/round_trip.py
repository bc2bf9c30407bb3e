"""Round trip between editor and server, without a language model.

Run `python -m benchmarks.round_trip`. A client types into a document and requests a completion
after every keystroke, as an editor does; the real server, in a process of its own, answers over
stdio from a scripted model. The figures are milliseconds from the request to the decoded response,
and the same for an echo of a line through a pipe, which is the lower bound on this machine.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Hashable, Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from lsprotocol import types
from pygls.lsp.client import LanguageClient

from completion.completion_model import CompletionModel, Computation
from completion.request import CompletionRequest, CompletionResult
from completion.status import Status, StatusListener
from lsp_server import server
from lsp_server.settings import Settings

REPOSITORY = Path(__file__).parents[1]
ECHO = """
import sys
for line in sys.stdin.buffer:
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()
"""
ECHO_BYTES = 400
DOCUMENT_LINES = 2_000


class ScriptedModel(CompletionModel):
    """Answers at once; another text at every offset."""

    def complete(self, request: CompletionRequest, computation: Computation) -> CompletionResult:
        """A name with the offset in it."""
        return CompletionResult(f"answer_{request.offset}")

    def warm(self, request: CompletionRequest, computation: Computation) -> None:
        """Nothing to prefill."""

    def check_fit(self, request: CompletionRequest, computation: Computation) -> None:
        """There is no prompt."""

    def version(self, request: CompletionRequest) -> Hashable:
        """The script does not change."""
        return 0


def serve() -> None:
    """Serve a client over stdio with the scripted model."""

    def open_model(
        settings: Settings, roots: Sequence[Path], report: StatusListener
    ) -> ScriptedModel:
        report(Status("Normal", False, "Ready."))
        return ScriptedModel()

    server._open_model = open_model
    server.serve()


async def round_trips(keystrokes: int) -> list[float]:
    """Milliseconds of every request. A keystroke and its request are sent together.

    Raises `RuntimeError` if the server suggests nothing: the figure would mean nothing.
    """
    text = "".join(f"value_{number} = compute({number})\n" for number in range(DOCUMENT_LINES))
    uri = "file:///benchmark/module.py"
    client = LanguageClient("benchmark", "1")
    ready = asyncio.Event()

    def on_status(status: Any) -> None:
        if not status.busy:
            ready.set()

    client.feature("attune/didChangeStatus")(on_status)
    client.feature("attune/didChangeEmptyReason")(lambda params: None)
    await client.start_io(
        sys.executable, "-m", "benchmarks.round_trip", "--server", cwd=str(REPOSITORY)
    )
    inline = types.InlineCompletionClientCapabilities()
    capabilities = types.ClientCapabilities(
        text_document=types.TextDocumentClientCapabilities(inline_completion=inline)
    )
    options = {"statistics": False}
    await client.initialize_async(
        types.InitializeParams(capabilities=capabilities, initialization_options=options)
    )
    client.initialized(types.InitializedParams())
    document = types.TextDocumentItem(uri, "python", 1, text)
    client.text_document_did_open(types.DidOpenTextDocumentParams(document))
    await ready.wait()
    times = [await _keystroke(client, uri, column) for column in range(keystrokes)]
    await client.shutdown_async(None)
    client.exit(None)
    await client.stop()
    return times


async def _keystroke(client: LanguageClient, uri: str, column: int) -> float:
    """Type a letter at the end of the document and request a completion behind it."""
    position = types.Position(DOCUMENT_LINES, column)
    change = types.TextDocumentContentChangePartial(types.Range(position, position), "x")
    document = types.VersionedTextDocumentIdentifier(column + 2, uri)
    automatic = types.InlineCompletionTriggerKind.Automatic
    params = types.InlineCompletionParams(
        types.InlineCompletionContext(automatic),
        types.TextDocumentIdentifier(uri),
        types.Position(DOCUMENT_LINES, column + 1),
    )
    started = time.perf_counter()
    client.text_document_did_change(types.DidChangeTextDocumentParams(document, [change]))
    response = await client.text_document_inline_completion_async(params)
    elapsed_ms = 1000 * (time.perf_counter() - started)
    if not isinstance(response, types.InlineCompletionList) or not response.items:
        raise RuntimeError("The server suggested nothing, so there is no round trip to measure.")
    return elapsed_ms


async def echoes(count: int) -> list[float]:
    """Milliseconds of a line through a process and back."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", ECHO, stdin=pipe, stdout=pipe
    )
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("The process has no pipes.")
    times = []
    for _ in range(count):
        started = time.perf_counter()
        process.stdin.write(b"x" * ECHO_BYTES + b"\n")
        await process.stdout.readline()
        times.append(1000 * (time.perf_counter() - started))
    process.stdin.close()
    await process.wait()
    return times


def summary(times: list[float]) -> dict[str, float]:
    """Median and 90th percentile in milliseconds, without the first tenth, which is warm-up."""
    measured = times[len(times) // 10 :]
    return {
        "p50_ms": round(median(measured), 2),
        "p90_ms": round(quantiles(measured, n=10)[-1], 2),
    }


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keystrokes", type=int, default=500)
    parser.add_argument("--server", action="store_true", help="be the server of a measurement")
    options = parser.parse_args()
    if options.server:
        serve()
        return
    figures = {
        "round_trip": summary(asyncio.run(round_trips(options.keystrokes))),
        "echo": summary(asyncio.run(echoes(options.keystrokes))),
        "lines_of_file": DOCUMENT_LINES,
    }
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
