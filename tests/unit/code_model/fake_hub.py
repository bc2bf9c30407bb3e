"""A hub for tests: one repository with the Hub's two requests, at a free port of this machine."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

COMMIT = "c0ffee" * 6 + "c0ff"
REPOSITORY = "owner/tiny"
LARGE = (".safetensors", ".gguf")


class FakeHub:
    """`files` by name; `stall` holds the last sixteenth of the weights back until it is set: of the
    shipped ones more is sent by then than a chunk of the client and what sockets buffer.

    `requests` are (path, Range header, Authorization header).
    """

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.stated: dict[str, bytes] = dict(files)
        self.requests: list[tuple[str, str | None, str | None]] = []
        self.stall = threading.Event()
        self.stall.set()
        self.most_sent = threading.Event()

    @contextmanager
    def served(self) -> Iterator[str]:
        """The address while it runs."""
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                hub.answer(self)

            def log_message(self, *arguments: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            self.stall.set()
            server.shutdown()
            server.server_close()
            thread.join()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        headers = request.headers
        path = request.path.partition("?")[0]
        self.requests.append((path, headers.get("Range"), headers.get("Authorization")))
        if path == f"/api/models/{REPOSITORY}/revision/main":
            listing = {
                "id": REPOSITORY,
                "sha": COMMIT,
                "siblings": [self._sibling(name) for name in self.stated],
            }
            self._send(request, 200, json.dumps(listing).encode(), "application/json")
            return
        name = path.removeprefix(f"/{REPOSITORY}/resolve/{COMMIT}/")
        if name not in self.files:
            self._send(request, 404, b"{}", "application/json")
            return
        data, start = self.files[name], 0
        if (wanted := headers.get("Range")) is not None:
            start = int(wanted.removeprefix("bytes=").partition("-")[0])
        self._send(request, 206 if start else 200, data[start:], stalls=name.endswith(LARGE))

    def _send(
        self, request: BaseHTTPRequestHandler, status: int, data: bytes,
        kind: str = "application/octet-stream", stalls: bool = False,
    ) -> None:  # fmt: skip
        request.send_response(status)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        most = len(data) * 15 // 16
        try:
            request.wfile.write(data[:most])
            request.wfile.flush()
            if stalls:
                self.most_sent.set()
                self.stall.wait()
            request.wfile.write(data[most:])
        except OSError:  # the client was killed
            pass

    def _sibling(self, name: str) -> dict[str, Any]:
        data = self.stated[name]
        blob = b"blob %d\0" % len(data) + data
        sibling: dict[str, Any] = {
            "rfilename": name,
            "size": len(data),
            "blobId": hashlib.sha1(blob).hexdigest(),
        }
        if name.endswith(LARGE):
            sha256 = hashlib.sha256(data).hexdigest()
            sibling["lfs"] = {"sha256": sha256, "size": len(data), "pointerSize": 134}
        return sibling


def files_of(folder: Path) -> dict[str, bytes]:
    """A model's files as a hub has them, beside files that must never be downloaded."""
    own = {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}
    return own | {
        "modeling_tiny.py": b"raise SystemExit\n",
        "pytorch_model.bin": b"pickle",
        "consolidated.safetensors": b"the same weights once more",
        "README.md": b"# Tiny\n",
    }
