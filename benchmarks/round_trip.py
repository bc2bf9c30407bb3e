"""Round trip editor–server–editor without model work: `python benchmarks/round_trip.py`.

A client process types into a document and asks after every keystroke, as an editor does; the real
server answers over stdio from a script instead of a model. Printed are milliseconds from the
request to the decoded answer: median, 90th percentile, and the same for a bare echo through a pipe
of the same shape, which is the floor of this machine.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from statistics import median, quantiles

from lsprotocol import types
from pygls.lsp.client import LanguageClient

SERVER = """
from lsp_server import server
from completion.request import CompletionResult
from completion.status import Status

class Script:
    def complete(self, request, run):
        return CompletionResult(f"answer_{request.offset}")
    def warm(self, request, run):
        pass
    def check_fit(self, request, run):
        pass
    def version(self):
        return 0

def open_model(settings, root, report):
    report(Status("Normal", False, "Ready."))
    return Script()

server._open_model = open_model
server.serve()
"""
ECHO = """
import sys
for line in sys.stdin.buffer:
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()
"""
LINES_OF_FILE = 2_000


async def round_trips(keystrokes: int) -> list[float]:
    """Milliseconds of every request; a keystroke and its request are sent together."""
    text = "".join(f"value_{number} = compute({number})\n" for number in range(LINES_OF_FILE))
    uri = "file:///benchmark/module.py"
    client = LanguageClient("benchmark", "1")
    with tempfile.TemporaryDirectory() as folder:
        code = Path(folder) / "scripted.py"
        code.write_text(SERVER, encoding="utf-8")
        ready = asyncio.Event()
        client.feature("attune/didChangeStatus")(lambda status: status.busy or ready.set())
        client.feature("attune/didChangeEmptyReason")(lambda params: None)
        await client.start_io(sys.executable, str(code))
        inline = types.InlineCompletionClientCapabilities()
        capabilities = types.ClientCapabilities(
            text_document=types.TextDocumentClientCapabilities(inline_completion=inline)
        )
        options = {"statistics": False}
        await client.initialize_async(
            types.InitializeParams(capabilities=capabilities, initialization_options=options)
        )
        client.initialized(types.InitializedParams())
        item = types.TextDocumentItem(uri, "python", 1, text)
        client.text_document_did_open(types.DidOpenTextDocumentParams(item))
        await ready.wait()
        times = []
        for number in range(keystrokes):
            at = types.Position(LINES_OF_FILE, number)
            change = types.TextDocumentContentChangePartial(types.Range(at, at), "x")
            document = types.VersionedTextDocumentIdentifier(number + 2, uri)
            began = time.perf_counter()
            client.text_document_did_change(types.DidChangeTextDocumentParams(document, [change]))
            automatic = types.InlineCompletionTriggerKind.Automatic
            params = types.InlineCompletionParams(
                types.InlineCompletionContext(automatic),
                types.TextDocumentIdentifier(uri),
                types.Position(LINES_OF_FILE, number + 1),
            )
            answer = await client.text_document_inline_completion_async(params)
            times.append(1000 * (time.perf_counter() - began))
            if not answer.items:
                raise RuntimeError("the server did not answer; the figure would mean nothing")
        await client.shutdown_async(None)
        client.exit(None)
        await client.stop()
    return times


async def echoes(count: int) -> list[float]:
    """Milliseconds of a line through a process and back."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", ECHO, stdin=pipe, stdout=pipe
    )
    times = []
    for _ in range(count):
        began = time.perf_counter()
        process.stdin.write(b"x" * 400 + b"\n")
        await process.stdout.readline()
        times.append(1000 * (time.perf_counter() - began))
    process.stdin.close()
    await process.wait()
    return times


def summary(times: list[float]) -> dict[str, float]:
    """Median and 90th percentile; the first tenth is warm-up."""
    kept = times[len(times) // 10 :]
    return {"p50_ms": round(median(kept), 2), "p90_ms": round(quantiles(kept, n=10)[-1], 2)}


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keystrokes", type=int, default=500)
    count = parser.parse_args().keystrokes
    figures = {
        "round_trip": summary(asyncio.run(round_trips(count))),
        "echo": summary(asyncio.run(echoes(count))),
        "lines_of_file": LINES_OF_FILE,
    }
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
