"""Errors of this package, and descriptions of errors that are safe to log."""

from pathlib import Path


class ModelUnavailableError(Exception):
    """No completion is possible. The message says what is wrong and what to do."""


def describe(error: BaseException) -> str:
    """Type and source line of an error, without its message, which may quote the user's code."""
    traceback = error.__traceback__
    if traceback is None:
        return type(error).__name__
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    file = Path(traceback.tb_frame.f_code.co_filename).name
    return f"{type(error).__name__} in {file}:{traceback.tb_lineno}"
