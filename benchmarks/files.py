"""Ten real Python files that the default model was not trained on, from the pinned test tools."""

from pathlib import Path

import pytest_timeout  # type: ignore[import-untyped]

FILES = (
    "importlinter/application/use_cases.py",
    "importlinter/application/contract_utils.py",
    "importlinter/contracts/layers.py",
    "importlinter/contracts/forbidden.py",
    "importlinter/contracts/acyclic_siblings.py",
    "importlinter/contracts/_common.py",
    "importlinter/domain/fields.py",
    "pytest_lsp/client.py",
    "pytest_lsp/plugin.py",
    "pytest_timeout.py",
)


def read_files() -> dict[str, str]:
    """The texts of `FILES` by path."""
    site_packages = Path(pytest_timeout.__file__).parent
    return {name: (site_packages / name).read_text(encoding="utf-8") for name in FILES}
