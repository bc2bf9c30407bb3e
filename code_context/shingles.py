"""Shared content between files: hashes of runs of lines, to find near-duplicates."""

import hashlib

LINES = 6


def shingles(text: str) -> set[int]:
    """Hashes of every run of `LINES` non-blank lines, stripped; one hash for a shorter text."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return {
        int.from_bytes(
            hashlib.blake2b(
                "\n".join(lines[start : start + LINES]).encode("utf-8", "surrogatepass"),
                digest_size=8,
            ).digest(),
            "big",
        )
        for start in range(max(1, len(lines) - LINES + 1))
    }
