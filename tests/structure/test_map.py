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
