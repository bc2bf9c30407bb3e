"""The compiled step, made once for all tests that need it."""

from pathlib import Path

import pytest

from code_model.decoder import compiler


@pytest.fixture(scope="session")
def library(_own_cache: None) -> Path:
    made = compiler.compile_library()
    assert made is not None
    return made
