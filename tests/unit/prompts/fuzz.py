"""Read mutated prompt files: only the documented errors, never a crash, a hang or much memory.

    python -m tests.unit.prompts.fuzz [COUNT] [SEED]

prints what was seen as JSON. Exit code 1: a file took over a second of CPU time, raised something
else, was accepted though it could not be written back, or the process grew beyond 200 MB.
"""

import collections
import json
import random
import resource
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from prompts.errors import CorruptPrompt, NotAPromptFile, UnsupportedVersion
from prompts.file import SUFFIX, encode_prompt, parse_prompt, read_manifest, read_prompt

ARTIFACTS = Path(__file__).parents[2] / "artifacts"
DOCUMENTED = (NotAPromptFile, UnsupportedVersion, CorruptPrompt)
SECONDS, MEGABYTES = 1.0, 200
NUMBERS = (0, 1, 7, 8, 255, 2**16, 2**31, 2**32 - 1, 2**53, 2**62, 2**63 - 1, 2**64 - 1)
VALUES: tuple[Any, ...] = (
    *(None, True, False, -1, 0, 1, 2, 3, 2**31, 2**63, 10**19, 10**30, 0.5, 1e308, -0.0),
    *("", "a", "../../x", "a\nb", "\u202e", "é" * 300, "0" * 64, "\ud800", "F64", "kv"),
    *([], {}, [[]], [0, 0], [2**40, 2**40], {"": {}}, [None] * 300, "A" * 100_000),
)
TEXTS = (
    *(b"{", b"}", b"[", b"]", b'"', b",", b":", b"\\", b"\\u0000", b"\\ud800", b"NaN", b"Infinity"),
    *(b"1e999", b"-", b"9" * 30, b"\xff", b"\0", b" " * 99, b"[" * 200, b'{"a":' * 50, b"null"),
)


def mutated(rng: random.Random, files: list[bytes]) -> bytes:
    """A file that was one of `files`: changed once to four times, as bytes or as JSON."""
    data = rng.choice(files)
    for _ in range(rng.randint(1, 4)):
        change = rng.choice(CHANGES)
        data = change(rng, data, files)
    return data


def _flip(rng: random.Random, data: bytes, files: list[bytes]) -> bytes:
    at = rng.randrange(len(data) + 1)
    return (
        data[:at] + bytes(b ^ (1 << rng.randrange(8)) for b in data[at : at + 1]) + data[at + 1 :]
    )


def _cut(rng: random.Random, data: bytes, files: list[bytes]) -> bytes:
    start, end = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    return data[:start] if rng.random() < 0.5 else data[:start] + data[end:]


def _insert(rng: random.Random, data: bytes, files: list[bytes]) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.choice((*TEXTS, rng.randbytes(rng.randrange(64)))) + data[at:]


def _splice(rng: random.Random, data: bytes, files: list[bytes]) -> bytes:
    other = rng.choice(files)
    return data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other) + 1) :]


def _length(rng: random.Random, data: bytes, files: list[bytes]) -> bytes:
    length = rng.choice((*NUMBERS, len(data) - 8, len(data) - 7, rng.randrange(1, 600)))
    return (length % 2**64).to_bytes(8, "little") + data[8:]


def _json(rng: random.Random, data: bytes, files: list[bytes]) -> bytes:
    """Change a value of the header or of the manifest in it, and keep the lengths right."""
    return _changed_json(rng, data, _spoilt)


def _version(rng: random.Random, data: bytes, files: list[bytes]) -> bytes:
    """Change the format version, which few random changes reach."""

    def later(rng: random.Random, root: Any) -> Any:
        root["format_version"] = rng.choice((0, 1, 2, 3, 4, 99))
        return root

    return _changed_json(rng, data, later, share_of_header=0.0)


def _changed_json(
    rng: random.Random,
    data: bytes,
    change: Callable[[random.Random, Any], Any],
    share_of_header: float = 0.3,
) -> bytes:
    end = 8 + int.from_bytes(data[:8], "little")
    try:
        header = json.loads(data[8:end])
        manifest = json.loads(header["__metadata__"]["attune"])
        spoilt = change(rng, header if rng.random() < share_of_header else manifest)
        if spoilt is not header:
            header["__metadata__"]["attune"] = json.dumps(manifest)
        raw = json.dumps(header).encode()
    except (ValueError, KeyError, TypeError, RecursionError):
        return data
    return len(raw).to_bytes(8, "little") + raw + data[end:]


def _spoilt(rng: random.Random, root: Any) -> Any:
    holder = root
    while True:
        key = rng.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
        inner = holder[key]
        if isinstance(inner, dict | list) and inner and rng.random() < 0.7:
            holder = inner
            continue
        action = rng.random()
        if action < 0.2 and isinstance(holder, dict):
            del holder[key]
        elif action < 0.4 and isinstance(holder, dict):
            holder[rng.choice(("x", "é", "format_version", ""))] = rng.choice(VALUES)
        else:
            holder[key] = rng.choice(VALUES)
        return root


CHANGES: tuple[Callable[[random.Random, bytes, list[bytes]], bytes], ...] = (
    *(_flip, _cut, _insert, _splice, _length, _version),
    *(_json, _json, _json),
)


class _Hang(BaseException):
    """A file took too long."""


def _hung(number: int, frame: FrameType | None) -> None:
    raise _Hang


def main(count: int, seed: int) -> int:
    """Read `count` files; the exit code."""
    files = [path.read_bytes() for path in sorted(ARTIFACTS.glob(f"*{SUFFIX}"))]
    rng = random.Random(seed)
    seen: collections.Counter[str] = collections.Counter()
    wrong: list[str] = []
    signal.signal(signal.SIGPROF, _hung)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"p{SUFFIX}"
        for number in range(count):
            path.write_bytes(mutated(rng, files))
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            try:
                for read in (read_manifest, read_prompt):
                    prompt: Any = read(path)
                again = parse_prompt(encode_prompt(prompt), "again")
                if again.manifest != prompt.manifest:
                    wrong.append(f"file {number}: another manifest when written back")
                seen["read"] += 1
            except DOCUMENTED as error:
                seen[type(error).__name__] += 1
                if "\n" in str(error) or not str(error).endswith("."):
                    wrong.append(f"file {number}: no sentence: {error}")
            except (Exception, _Hang) as error:
                wrong.append(f"file {number}: {type(error).__name__}: {error}")
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    if grown > MEGABYTES:
        wrong.append(f"the process grew by {grown:.0f} MB")
    report = {"files": count, "seen": dict(seen), "grown_mb": round(grown, 1), "wrong": wrong[:20]}
    print(json.dumps(report, indent=2))
    return 1 if wrong else 0


if __name__ == "__main__":
    arguments = [int(argument) for argument in sys.argv[1:]]
    sys.exit(main(*arguments, *(2000, 7)[len(arguments) :]))
