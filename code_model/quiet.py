"""transformers reports on stderr, where progress and sentences are read."""

import contextlib
import logging
from collections.abc import Iterator
from importlib import import_module
from threading import RLock
from typing import Any

LOADING = RLock()
"""transformers replaces functions of its own and of torch while it loads, and puts back what it
found: two loads at once would leave the replaced ones behind."""


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Let transformers show no progress bars, tables and warnings; bitsandbytes for good.

    What is wrong is raised, and the caller says it in a sentence. Other threads wait meanwhile.
    """
    with LOADING:
        yield from _quiet()


def _quiet() -> Iterator[None]:
    # transformers imports it, which warns of a missing kernel then, and later of every product
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    reports: Any = import_module("transformers.utils.logging")
    gguf: Any = import_module("transformers.modeling_gguf_pytorch_utils")
    bar = gguf.tqdm  # of its own, which follows no setting
    level, bars = reports.get_verbosity(), reports.is_progress_bar_enabled()
    reports.set_verbosity(logging.CRITICAL)
    reports.disable_progress_bar()
    gguf.tqdm = _silent
    try:
        yield
    finally:
        gguf.tqdm = bar
        reports.set_verbosity(level)
        if bars:
            reports.enable_progress_bar()


def _silent(items: Any, **options: Any) -> Any:
    return items
