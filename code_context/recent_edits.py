"""Regions of the open files that the user edited or viewed most recently."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from code_context.positions import LINE_ENDING
from code_context.snippets import Snippet
from code_context.text_diff import changed_span

MAX_REGIONS = 12
LINES_BEFORE, LINES_AFTER = 4, 10  # shown around a region
MAX_LINES = 20  # of a snippet
MERGE_DISTANCE = 12  # lines; regions of a file that are closer are merged
VIEWED_SCORE = 0.6  # of a viewed region; an edited one has 1


@dataclass(frozen=True)
class _Region:
    path: str
    first: int
    last: int
    is_edited: bool

    def moved(self, lines: int) -> "_Region":
        return replace(self, first=max(0, self.first + lines), last=max(0, self.last + lines))


class RecentRegions:
    """The latest regions, newest first. Lines count from 0 and follow later edits of the file."""

    def __init__(self) -> None:
        self._regions: list[_Region] = []

    def add_edit(self, path: str, old: str, new: str) -> None:
        """Record that the text of a file has changed."""
        start, old_end, new_end = changed_span(old, new)
        first = _line_endings(new[:start])
        added = _line_endings(new[start:new_end])
        delta = added - _line_endings(old[start:old_end])
        self._regions = [
            region.moved(delta) if region.path == path and region.first > first else region
            for region in self._regions
        ]
        self._add(_Region(path, first, first + added, is_edited=True))

    def add_view(self, path: str, line: int) -> None:
        """Record that the cursor is on a line."""
        self._add(_Region(path, line, line, is_edited=False))

    def remove_file(self, path: str) -> None:
        """Remove the regions of a file that was closed."""
        self._regions = [region for region in self._regions if region.path != path]

    def snippets(self, texts: Mapping[str, str]) -> list[Snippet]:
        """The regions with their present texts: edited ones first, then by age."""
        snippets = []
        ordered = sorted(self._regions, key=lambda region: not region.is_edited)
        for rank, region in enumerate(ordered):
            if region.path not in texts:
                continue
            lines = texts[region.path].splitlines(keepends=True)
            first = max(0, region.first - LINES_BEFORE)
            text = "".join(lines[first : min(region.last + LINES_AFTER, first + MAX_LINES)])
            if text.strip():
                score = round((1.0 if region.is_edited else VIEWED_SCORE) / (1 + rank), 4)
                snippets.append(Snippet(region.path, text, "recent", score, first))
        return snippets

    def _add(self, region: _Region) -> None:
        """Put a region in front, merged with nearby ones; edited lines win over viewed ones."""
        kept = []
        for other in self._regions:
            distance = max(other.first - region.last, region.first - other.last)
            if other.path != region.path or distance > MERGE_DISTANCE:
                kept.append(other)
            elif other.is_edited or region.is_edited:
                edited = [each for each in (other, region) if each.is_edited]
                region = _Region(
                    region.path,
                    min(each.first for each in edited),
                    max(each.last for each in edited),
                    is_edited=True,
                )
        self._regions = [region, *kept][:MAX_REGIONS]


def _line_endings(text: str) -> int:
    return sum(1 for _ in LINE_ENDING.finditer(text))
