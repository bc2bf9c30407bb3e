"""Errors of this package, and descriptions of errors that are safe to log."""

from pathlib import Path

ALLOCATION_FAILED = "can't allocate memory"
"""In the message of torch's `RuntimeError` for memory of the machine."""


class ModelUnavailableError(Exception):
    """No completion is possible. The message says what is wrong and what to do."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of a model says that there is no memory left."""
    # Imported here, where a model has been loaded: the server starts without what it imports.
    from code_model.language_model import OutOfModelMemoryError

    if isinstance(error, MemoryError | OutOfModelMemoryError):
        return True
    return isinstance(error, RuntimeError) and ALLOCATION_FAILED in str(error)


def describe(error: BaseException) -> str:
    """Type and source line of an error, without its message, which may quote the user's code."""
    traceback = error.__traceback__
    if traceback is None:
        return type(error).__name__
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    file = Path(traceback.tb_frame.f_code.co_filename).name
    return f"{type(error).__name__} in {file}:{traceback.tb_lineno}"
