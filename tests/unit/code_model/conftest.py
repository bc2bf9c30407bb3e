"""The compiled step, made once for all tests that need it."""

from pathlib import Path

import pytest

from code_model.decoder import native


@pytest.fixture(scope="session")
def library(_own_cache: None) -> Path:
    made = native.compile_library()
    assert made is not None
    return made
