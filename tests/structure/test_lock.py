"""requirements.lock is what pyproject.toml and constraints.txt say, with hashes."""

import re
import tomllib

from tests.structure.source import ROOT

PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", re.MULTILINE)


def pins(name: str) -> dict[str, str]:
    """The version of each package in a file, by its normalised name."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return {normalised(package): version for package, version in PIN.findall(text)}


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_dependency_is_locked_to_the_version_that_is_tested() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    dependencies = {normalised(re.split(r"[<>=!\[]", each)[0]) for each in project["dependencies"]}
    locked, tested = pins("requirements.lock"), pins("constraints.txt")
    assert dependencies <= locked.keys(), "run make lock"
    differing = {name for name in locked.keys() & tested.keys() if locked[name] != tested[name]}
    assert not differing, "run make lock"


def test_every_package_has_a_hash() -> None:
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    blocks = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]
    assert len(blocks) == len(pins("requirements.lock"))
    assert all("--hash=sha256:" in block for block in blocks)
    assert "://" not in text, "no address of an index: the hashes bind the files"
