"""ARCHITECTURE.md names every folder and module, and its paths exist."""

import re
import subprocess
import tomllib

from tests.structure.source import PACKAGES, ROOT, files

PAGE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
NAMED = set(re.findall(r"`([^`\n]+)`", PAGE))
FORBIDDEN = {"utils", "util", "helpers", "helper", "manager", "common", "misc"}


def test_every_top_level_folder_is_named() -> None:
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files"], capture_output=True, text=True, check=True
    )
    folders = {line.partition("/")[0] for line in listed.stdout.splitlines() if "/" in line}
    assert "code_model" in folders
    visible = {f"{folder}/" for folder in folders if not folder.startswith(".")}
    assert visible <= NAMED


def test_no_module_has_a_name_that_says_nothing() -> None:
    parts = {part for path in files() for part in path.with_suffix("").parts}
    assert not parts & FORBIDDEN


def test_every_import_contract_covers_every_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert set(project["tool"]["importlinter"]["root_packages"]) == set(PACKAGES) - {"benchmarks"}


def section(title: str) -> str:
    """The text of a section of the page."""
    after = PAGE.partition(f"\n{title}\n")[2]
    return after.partition("\n#")[0]


def test_every_module_is_named_with_its_package() -> None:
    folders = sorted({path.parent for path in files() if path.parts[0] in PACKAGES})
    for folder in folders:
        named = set(re.findall(r"^\| `(\w+)` \|", section(f"### `{folder}/`"), re.MULTILINE))
        modules = {path.stem for path in files() if path.parent == folder} - {"__init__"}
        assert named == modules, folder


def test_every_path_of_where_to_change_exists() -> None:
    rows = section("## Where do I change …?").splitlines()
    answers = [row.split("|")[2] for row in rows if row.startswith("| ") and "---" not in row][1:]
    assert len(answers) >= 15
    for answer in answers:
        paths = re.findall(r"`([^`]+)`", answer)
        assert paths, answer
        for path in paths:
            assert (ROOT / path).exists(), path
