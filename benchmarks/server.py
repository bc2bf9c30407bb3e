"""The server process from outside: time to the first answer, resident memory, idle CPU.

Run `python -m benchmarks.server` (see README.md); Linux only, because it reads /proc.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from lsprotocol import types
from pytest_lsp import LanguageClient, make_test_lsp_client

from benchmarks.files import read_files

ROOT = Path("/project")


async def measure(n_requests: int, settle_s: float, idle_s: float) -> dict[str, float]:
    """Start a server, send it requests, and leave it idle.

    The idle CPU share is measured over `idle_s` seconds, which begin `settle_s` seconds after the
    last answer, when prefetching has ended.
    """
    files = read_files()
    client = make_test_lsp_client()
    started = time.perf_counter()
    await client.start_io(sys.executable, "-I", "-m", "attune", "serve", cwd="/")
    try:
        process = pid_of(client)
        uris = await open_files(client, files)
        result: dict[str, float] = {"requests": n_requests}
        for n in range(n_requests):
            path = list(files)[n * len(files) // n_requests]
            lines = files[path].split("\n")
            line = n % len(lines)  # a new line each time, so that no answer is cached
            await complete(client, uris[path], line, len(lines[line]))
            if n == 0:
                result["start_to_first_answer_s"] = time.perf_counter() - started
                result["start_cpu_s"] = cpu_s(process)  # the least wait, on an idle machine
        result["resident_mb"] = _resident_mb(process)
        await asyncio.sleep(settle_s)
        before = cpu_s(process)
        await asyncio.sleep(idle_s)
        result["idle_cpu"] = (cpu_s(process) - before) / idle_s
        result["resident_idle_mb"] = _resident_mb(process)
        await client.shutdown_session()
    finally:
        await client.stop()
    return {name: round(value, 4) for name, value in result.items()}


def pid_of(client: LanguageClient) -> int:
    """That of the client's server. Raises `RuntimeError` if none runs."""
    if client._server is None:
        raise RuntimeError("The client has no server.")
    return client._server.pid


async def open_files(client: LanguageClient, files: dict[str, str]) -> dict[str, str]:
    """Initialise the session and open the files; their URIs by path."""
    client.feature("attune/didChangeStatus")(lambda params: None)
    client.feature("attune/didChangeEmptyReason")(lambda params: None)
    await client.initialize_session(
        types.InitializeParams(types.ClientCapabilities(), root_uri=ROOT.as_uri())
    )
    uris = {path: (ROOT / path).as_uri() for path in files}
    for path, text in files.items():
        item = types.TextDocumentItem(uris[path], "python", 1, text)
        client.text_document_did_open(types.DidOpenTextDocumentParams(item))
    return uris


async def complete(client: LanguageClient, uri: str, line: int, character: int) -> None:
    """An explicit request, which is answered at once and everywhere."""
    await client.text_document_inline_completion_async(
        types.InlineCompletionParams(
            context=types.InlineCompletionContext(types.InlineCompletionTriggerKind.Invoked),
            text_document=types.TextDocumentIdentifier(uri),
            position=types.Position(line, character),
        )
    )


def _resident_mb(process: int) -> float:
    status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def cpu_s(process: int) -> float:
    """User and system time so far, in seconds."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--settle", type=float, default=2.0, help="seconds before idleness begins")
    parser.add_argument("--idle", type=float, default=20.0, help="seconds of idleness")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/server.json"))
    options = parser.parse_args(arguments)
    result = asyncio.run(measure(options.requests, options.settle, options.idle))
    print(json.dumps(result, indent=1))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
