"""Libraries that compute models report on stderr, where progress and sentences are read."""

import contextlib
import logging
from collections.abc import Iterator
from importlib import import_module
from typing import Any

LIBRARIES = ("bitsandbytes", "transformers")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Let transformers and what it uses show no progress bars, tables and warnings.

    What is wrong is raised, and the caller says it in a sentence.
    """
    reports: Any = import_module("transformers.utils.logging")
    gguf: Any = import_module("transformers.modeling_gguf_pytorch_utils")
    bar = gguf.tqdm  # of its own, which follows no setting
    level, bars = reports.get_verbosity(), reports.is_progress_bar_enabled()
    loggers = [logging.getLogger(name) for name in LIBRARIES]
    levels = [logger.level for logger in loggers]
    reports.set_verbosity(logging.CRITICAL)
    reports.disable_progress_bar()
    gguf.tqdm = _silent
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, before in zip(loggers, levels, strict=True):
            logger.setLevel(before)
        gguf.tqdm = bar
        reports.set_verbosity(level)
        if bars:
            reports.enable_progress_bar()


def _silent(items: Any, **options: Any) -> Any:
    return items
