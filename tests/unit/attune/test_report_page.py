"""The page about a prompt: whole, self-contained, and safe whatever the file holds."""

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from attune.pages.report import report_page
from attune.pages.template import PageWriteError, write_page
from prompts.file import read_manifest
from prompts.manifest import Manifest

ARTIFACT = Path(__file__).parents[2] / "artifacts" / "v1-kv.attune.safetensors"
MEASURED = {
    "gain": 0.04,
    "gain_low": 0.01,
    "gain_high": 0.07,
    "proven": True,
    "specificity": 0.8,
    "strata": {"cross_file": 12, "rest": 30},
    "arms": {
        "no prompt": {"bits_per_byte": 1.2, "gain": 0.0, "gain_low": 0.0, "gain_high": 0.0},
        "this prompt": {
            "bits_per_byte": 1.15,
            "gain": 0.04,
            "gain_low": 0.01,
            "gain_high": 0.07,
            "strata": {"cross_file": 1.31, "rest": 0.9},
        },
    },
    "acceptance": {
        "places": 200,
        "without": {"shown": 0.4, "right": 0.5, "saved": 3.0, "wrong": 1.0},
        "with_prompt": {"shown": 0.5, "right": 0.6, "saved": 3.3, "wrong": 1.0},
        "gain": 0.1,
        "gain_low": -0.05,
        "gain_high": 0.3,
    },
    "curve": [{"step": 0, "gain": 0.0}, {"step": 50, "gain": 0.03}, {"step": 90, "gain": 0.02}],
}


@pytest.fixture
def manifest() -> Manifest:
    return replace(read_manifest(ARTIFACT), measured=MEASURED)


class Tags(HTMLParser):
    """Which elements and attributes a page has, and that they close."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        assert not {name for name, _ in attrs} & {"src", "href", "onload", "onclick"}
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)


def tags(text: str) -> list[str]:
    parser = Tags()
    parser.feed(text)
    assert parser.open == []
    return parser.seen


def test_the_page_shows_what_was_gained(manifest: Manifest) -> None:
    text = report_page(manifest, "a" * 64)
    assert "4.0 %" in text
    assert "80 % of that is specific" in text
    assert "to this repository: proven." in text
    assert "<td>this prompt</td><td>1.150</td><td>+4.0 %</td>" in text
    assert (
        "the editor shows 50 suggestions, 30 right; without the prompt 40 suggestions, 20" in text
    )
    assert "+10.0 % (95 % interval -5.0 % to +30.0 %)" in text
    assert "<td>this prompt</td><td>1.310</td><td>0.900</td>" in text
    assert "cross file (12)" in text
    assert tags(text).count("svg") == 2
    assert tags(text).count("rect") == 2
    assert tags(text).count("circle") == 3
    assert "script" not in tags(text)


@pytest.mark.parametrize(
    ("step", "label", "other"), [(90, "+2.0 % selected", "+3.0 %"), (50, "+3.0 % selected", None)]
)
def test_the_curve_names_the_evaluation_whose_prompt_is_in_the_file(
    manifest: Manifest, step: int, label: str, other: str | None
) -> None:
    """Not the one with the highest gain, which may be another one."""
    text = report_page(replace(manifest, recipe={"steps": step}), "a" * 64)
    assert text.count("selected") == 1
    assert label in text
    assert other is None or other not in text


def test_a_hostile_file_stays_text(manifest: Manifest) -> None:
    evil = "<script>alert(1)</script>"
    arms = {evil: {"gain": 0.1, "bits_per_byte": evil, "strata": [evil]}, "b": evil}
    measured = {
        **MEASURED,
        "arms": arms,
        "curve": [evil, {"step": evil, "gain": []}, 3],
        "gain": evil,
        "acceptance": {"with_prompt": {"shown": evil, "right": evil}, "without": evil},
    }
    text = report_page(replace(manifest, name=evil, repository=evil, measured=measured), "a" * 64)
    assert "script" not in tags(text)
    assert "Not measured." in text


@pytest.mark.parametrize("measured", [{}, {"arms": {}}, {"arms": 3, "curve": {}, "strata": []}])
def test_an_unmeasured_prompt_has_a_page_too(manifest: Manifest, measured: dict) -> None:
    assert "svg" not in tags(report_page(replace(manifest, measured=measured), "a" * 64))


def test_a_page_that_cannot_be_written(tmp_path: Path) -> None:
    write_page(tmp_path / "p.html", "old \ud800")
    assert [file.name for file in tmp_path.iterdir()] == ["p.html"]
    assert (tmp_path / "p.html").read_text(encoding="utf-8") == "old ?"
    with pytest.raises(PageWriteError, match="choose another place"):
        write_page(tmp_path / "none" / "p.html", "new")
