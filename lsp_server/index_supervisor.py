"""Supervise the index process: start it, pass on its messages, start it again when it ends.

Code of the user never appears in the log: of what the process writes besides its messages, only the
name of an error is used.
"""

import json
import logging
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

EXIT_TIMEOUT_S = 5.0
"""The index process exits within half a second unless it hangs."""
MAX_FAILURES = 4
"""Ends of the process, each soon after its start, until it is not started again."""
FIRST_DELAY_S = 1.0
"""Pause before the second start; it doubles with each failure."""
SILENCE_S = 300.0
"""A process that says nothing for so long hangs: git may take a minute, and a batch of files that
are hard to parse not much longer."""
HEALTHY_S = 60.0
"""After so many seconds the failures before no longer count."""
ERROR_NAME = re.compile(r"(?:\w+\.)*(\w+(?:Error|Exception|Interrupt))\b")

MessageListener = Callable[[dict[str, Any]], object]
FailureListener = Callable[[str], object]
"""Receives the reason why the process is not started again."""


class IndexSupervisor:
    """Runs the index process of a folder until `stop`. Listeners are called on its thread."""

    def __init__(
        self,
        root: Path,
        on_message: MessageListener,
        on_failure: FailureListener,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._command = [sys.executable, "-I", "-m", "code_context.index_process", str(root)]
        self._on_message = on_message
        self._on_failure = on_failure
        self._clock = clock
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._heard_at = 0.0
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run, name="attune-index", daemon=True)

    def start(self) -> None:
        """Start the process in the background."""
        self._thread.start()

    def stop(self) -> None:
        """End the process for good: close its stdin; kill it if it hangs, which harms no index."""
        with self._lock:
            self._stopped.set()
            process = self._process
        if process is not None:
            _stop(process)

    def _run(self) -> None:
        failures = 0
        while True:
            started = self._clock()
            reason, is_final = self._run_once()
            if self._stopped.is_set():
                return
            failures = 1 if self._clock() - started > HEALTHY_S else failures + 1
            logger.warning("The index process has ended (%s).", reason)
            if is_final or failures >= MAX_FAILURES:
                self._on_failure(reason)
                return
            if self._stopped.wait(FIRST_DELAY_S * 2 ** (failures - 1)):
                return

    def _run_once(self) -> tuple[str, bool]:
        """Why the process has ended, and whether starting it again is of no use."""
        with self._lock:
            if self._stopped.is_set():
                return "", True
            try:
                self._process = process = subprocess.Popen(
                    self._command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                )
            except OSError as error:
                return error.strerror or type(error).__name__, False
        self._heard_at = self._clock()
        has_ended = threading.Event()
        threading.Thread(
            target=self._kill_if_silent,
            args=(process, has_ended),
            name="attune-index-silence",
            daemon=True,
        ).start()
        error_name = failure = None
        for line in process.stdout or ():
            self._heard_at = self._clock()
            message = _message(line)
            if message is None:
                name = ERROR_NAME.match(line.decode("utf-8", "replace"))
                error_name = name.group(1) if name else error_name
            elif "failure" in message:
                failure = str(message["failure"])
            elif "alive" not in message:
                self._on_message(message)
        has_ended.set()
        is_silent = self._clock() - self._heard_at > SILENCE_S
        _stop(process)
        if process.stdout is not None:
            process.stdout.close()
        if is_silent:
            return f"no sign of life for {SILENCE_S:g} seconds", False
        return failure or error_name or f"exit status {process.returncode}", failure is not None

    def _kill_if_silent(
        self, process: "subprocess.Popen[bytes]", has_ended: threading.Event
    ) -> None:
        while not has_ended.wait(SILENCE_S / 10):
            if self._clock() - self._heard_at > SILENCE_S:
                process.kill()
                return


def _message(line: bytes) -> dict[str, Any] | None:
    """The message in a line; None if it is other output."""
    try:
        message = json.loads(line)
    except ValueError:
        return None
    return message if isinstance(message, dict) else None


def _stop(process: "subprocess.Popen[bytes]") -> None:
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(EXIT_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
