"""Shingles of a text: hashes of overlapping runs of lines, to find near-duplicate files."""

import hashlib

LINES = 6  # of a shingle


def shingles(text: str) -> set[int]:
    """64-bit hashes of all runs of `LINES` stripped non-blank lines; one for a shorter text."""
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
