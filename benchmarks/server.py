"""The server process from outside: time to the first answer, resident memory, idle CPU.

Run `python -m benchmarks.server` (see README.md); Linux only, because it reads /proc.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from pathlib import Path

from lsprotocol import types
from pytest_lsp import LanguageClient, make_test_lsp_client

from benchmarks.files import read_files

IDLE_S = 20.0
ROOT = Path("/project")


async def measure(requests: int) -> dict[str, float]:
    """Start a server, ask it, leave it alone."""
    files = read_files()
    client = make_test_lsp_client()
    began = time.perf_counter()
    await client.start_io(sys.executable, "-I", "-m", "attune", "serve", cwd="/")
    process = client._server.pid
    params = types.InitializeParams(
        capabilities=types.ClientCapabilities(), root_uri=ROOT.as_uri()
    )  # fmt: skip
    client.feature("attune/didChangeStatus")(lambda params: None)
    client.feature("attune/didChangeEmptyReason")(lambda params: None)
    await client.initialize_session(params)
    uris = {}
    for path, text in files.items():
        uris[path] = (ROOT / path).as_uri()
        item = types.TextDocumentItem(uris[path], "python", 1, text)
        client.text_document_did_open(types.DidOpenTextDocumentParams(item))
    first, result = True, {}
    for n in range(requests):
        path = list(files)[n * len(files) // requests]
        lines = files[path].split("\n")
        # explicit, line after line: nothing is known, and everything is answered
        line = n % len(lines)
        await _complete(client, uris[path], line, len(lines[line]))
        if first:
            result["start_to_first_answer_s"] = time.perf_counter() - began
            result["start_cpu_s"] = _cpu_s(process)  # what a machine without other work waits for
            first = False
    result["resident_mb"] = _resident_mb(process)
    await asyncio.sleep(2.0)  # what follows the last answer is not idleness
    before = _cpu_s(process)
    await asyncio.sleep(IDLE_S)
    result["idle_cpu"] = (_cpu_s(process) - before) / IDLE_S
    result["resident_idle_mb"] = _resident_mb(process)
    await client.shutdown_session()
    await client.stop()
    return {"requests": requests, **{name: round(value, 4) for name, value in result.items()}}


async def _complete(client: LanguageClient, uri: str, line: int, character: int) -> None:
    await client.text_document_inline_completion_async(
        types.InlineCompletionParams(
            context=types.InlineCompletionContext(types.InlineCompletionTriggerKind.Invoked),
            text_document=types.TextDocumentIdentifier(uri),
            position=types.Position(line, character),
        )
    )


def _resident_mb(process: int) -> float:
    status = Path(f"/proc/{process}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def _cpu_s(process: int) -> float:
    """User and system time so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/server.json"))
    options = parser.parse_args()
    result = asyncio.run(measure(options.requests))
    print(json.dumps(result, indent=1))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
