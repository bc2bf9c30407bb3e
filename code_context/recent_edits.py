"""Regions that a person edited or looked at a moment ago, in all open files."""

from collections.abc import Mapping
from dataclasses import dataclass

from code_context.positions import LINE_ENDING
from code_context.snippets import Snippet
from code_context.text_diff import changed_span

MAX_REGIONS = 12
BEFORE, AFTER = 4, 10  # lines shown around an edited region
MAX_SHOWN = 20  # lines of one region
NEAR = 12  # lines between two places that count as one region
VIEWED = 0.6  # what having looked is worth against having edited


@dataclass(frozen=True)
class _Region:
    path: str
    first: int
    last: int
    edited: bool

    def moved(self, lines: int) -> "_Region":
        return _Region(
            self.path, max(0, self.first + lines), max(0, self.last + lines), self.edited
        )


class RecentRegions:
    """The latest regions, newest first. Lines count from 0 and follow later edits of their file."""

    def __init__(self) -> None:
        self._regions: list[_Region] = []

    def edited(self, path: str, old: str, new: str) -> None:
        """A file's text has changed."""
        start, old_end, new_end = changed_span(old, new)
        first = _lines_in(new[:start])
        added = _lines_in(new[start:new_end])
        delta = added - _lines_in(old[start:old_end])
        self._regions = [
            one.moved(delta) if one.path == path and one.first > first else one
            for one in self._regions
        ]
        self._put(_Region(path, first, first + added, edited=True))

    def viewed(self, path: str, line: int) -> None:
        """A person's cursor stands on a line."""
        self._put(_Region(path, line, line, edited=False))

    def forget(self, path: str) -> None:
        """A file is closed."""
        self._regions = [one for one in self._regions if one.path != path]

    def snippets(self, texts: Mapping[str, str]) -> list[Snippet]:
        """The regions as their texts are now; newest first, and edits first."""
        found = []
        ordered = sorted(self._regions, key=lambda one: not one.edited)
        for age, region in enumerate(ordered):
            if region.path not in texts:
                continue
            lines = texts[region.path].splitlines(keepends=True)
            first = max(0, region.first - BEFORE)
            shown = "".join(lines[first : min(region.last + AFTER, first + MAX_SHOWN)])
            if shown.strip():
                score = round((1.0 if region.edited else VIEWED) / (1 + age), 4)
                found.append(Snippet(region.path, shown, "recent", score, first))
        return found

    def _put(self, region: _Region) -> None:
        """In front; a region of the same place nearby becomes part of it."""
        kept = []
        for one in self._regions:
            apart = max(one.first - region.last, region.first - one.last)
            if one.path != region.path or apart > NEAR:
                kept.append(one)
            elif one.edited or region.edited:
                edited = [each for each in (one, region) if each.edited]
                region = _Region(
                    region.path,
                    min(each.first for each in edited),
                    max(each.last for each in edited),
                    edited=True,
                )
        self._regions = [region, *kept][:MAX_REGIONS]


def _lines_in(text: str) -> int:
    return sum(1 for _ in LINE_ENDING.finditer(text))
