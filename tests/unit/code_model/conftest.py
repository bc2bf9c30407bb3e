"""The compiled step, made once for all tests that need it."""

from pathlib import Path

import pytest

from code_model.decoder.library import compile_library


@pytest.fixture(scope="session")
def library(_own_cache: None) -> Path:
    made = compile_library()
    assert made is not None
    return made.path
