"""The packaged extension on a machine that has nothing but Python."""

import json
import subprocess
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

CLIENT = Path(__file__).resolve().parents[2] / "vscode-client"

MODULE = """\
class Reader:
    def __init__(self, path, encoding, errors):
        self.path = path
        self.encoding = encoding
        $0
"""
TYPED = "self."


@pytest.fixture(scope="module")
def vsix() -> Path:
    """The extension as it is shipped."""
    subprocess.run(["npm", "run", "--silent", "package"], cwd=CLIENT, check=True, timeout=240)
    version = json.loads((CLIENT / "package.json").read_text(encoding="utf-8"))["version"]
    return CLIENT / f"attune-{version}.vsix"


def test_package_holds_what_it_needs_and_no_more(vsix):
    with zipfile.ZipFile(vsix) as package:
        names = {name.removeprefix("extension/") for name in package.namelist()}
    assert {"dist/extension.js", "bundled/constraints.txt", "walkthrough/see.md"} <= names
    assert any(name.startswith("bundled/attune-") and name.endswith(".whl") for name in names)
    assert not [name for name in names if name.startswith(("src/", "node_modules/", "e2e/"))]


def test_from_the_package_to_grey_text(play, workspace, vsix, wheels, pictures):
    """One step: the package sets itself up from a folder of wheels, and text appears."""
    started = workspace.write("main.py", MODULE)
    result = play(
        started,
        {"attune.wheelFolder": str(wheels)},
        {"logSays": "Creating a Python environment"},
        {"screenshot": str(pictures / "setting-up.png")},
        {"statusSays": "Ready without a prompt"},
        {"type": TYPED},
        {"ghost": True},
        {"screenshot": str(pictures / "first-grey-text.png")},
        {"accept": True},
        {"save": True},
        extension=vsix,
    )
    [ghost] = result["ghosts"]
    assert ghost.strip()
    assert workspace.text("main.py") == MODULE.replace("$0", TYPED + ghost)
    assert result["errors"] == []
