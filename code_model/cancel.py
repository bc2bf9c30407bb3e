"""A flag that stops a computation, also inside the compiled step. Imports nothing heavy."""

import ctypes
from collections.abc import Callable


class StepCancelledError(Exception):
    """A computation was cancelled; its tokens are not in the cache."""


class Cancel:
    """A flag that any thread may raise, once; calling it returns whether it is raised."""

    def __init__(self) -> None:
        self._raised = ctypes.c_int32(0)
        self.address = ctypes.addressof(self._raised)
        """Address of an int32 that is not 0 when raised, for the compiled step."""

    def set(self) -> None:
        """Raise the flag."""
        self._raised.value = 1

    def __call__(self) -> bool:
        """Whether the flag is raised."""
        return self._raised.value != 0


def cancel_flag(cancelled: Callable[[], bool]) -> Cancel | None:
    """`cancelled` if its flag can be tested inside a step; None for any other function."""
    return cancelled if isinstance(cancelled, Cancel) else None
