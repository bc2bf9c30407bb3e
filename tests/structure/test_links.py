"""Every link of a page leads to a file, and to a heading of it."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.structure.source import ROOT

PAGES = sorted(
    page
    for pattern in ("*.md", "docs/*.md", "*/README.md", "code_model/default/README.md")
    for page in ROOT.glob(pattern)
)
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)")
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives a page's headings."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in HEADING.findall(text))
    return {heading.strip().replace(" ", "-") for heading in plain}


def broken(page: Path) -> Iterator[str]:
    """The links of a page that lead nowhere."""
    for path, anchor in LINK.findall(CODE.sub("", page.read_text(encoding="utf-8"))):
        target = page.parent / path if path else page
        if not target.exists() or (
            anchor and target.suffix == ".md" and anchor not in anchors(target)
        ):
            yield f"{path}#{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    assert list(broken(page)) == []


def test_a_link_that_leads_nowhere_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "b.md").write_text("# A heading: `x`, two\n")
    page = tmp_path / "a.md"
    page.write_text("[1](b.md#a-heading-x-two) [2](b.md#none) [3](c.md) `[4](d.md)` [5](#none)\n")
    assert list(broken(page)) == ["b.md#none", "c.md#", "#none"]


def test_every_page_and_image_is_linked() -> None:
    """What nothing leads to is read by nobody, and grows old."""
    linked = {
        (page.parent / path).resolve()
        for page in PAGES
        for path, _ in LINK.findall(CODE.sub("", page.read_text(encoding="utf-8")))
        if path
    }
    documents = {file.resolve() for file in (ROOT / "docs").rglob("*") if file.is_file()}
    assert sorted(str(file.relative_to(ROOT)) for file in documents - linked) == []
